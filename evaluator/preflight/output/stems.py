"""Stems under each other's names.

Which true stem an estimate is most like is asked of all songs together: of a single one, a poor
separator may well confuse two stems, but not of most.
"""

import itertools
from collections.abc import Iterator, Sequence

from evaluator.preflight import Finding, fault
from evaluator.preflight.graded import Graded
from evaluator.preflight.products import Products, estimate, reference

CLEARLY = 0.05
"""How much better each estimate must fit to another stem than to its own, in correlation."""

ALIKE = 0.3
"""Correlation at which an estimate is alike enough to a stem to be taken for it."""

TOGETHER = 0.2
"""How much better all of them together must fit."""


def find(graded: Graded) -> Iterator[Finding]:
    """Compare each estimate with each true stem."""
    stems = graded.stems
    pairs = [(one, other) for one in stems for other in stems]
    sums, counts = dict.fromkeys(pairs, 0.0), dict.fromkeys(pairs, 0)
    for sound in graded.sounds.values():
        if not sound.files.references:
            continue
        # A silent stem is like nothing; all pairs of a song count, or none.
        heard = [stem for stem in stems if not _silent(sound.products, stem)]
        for one, other in itertools.product(heard, repeat=2):
            sums[one, other] += sound.products.likeness(estimate(one), reference(other))
            counts[one, other] += 1
    likeness = {pair: sums[pair] / counts[pair] if counts[pair] else 0.0 for pair in sums}
    order = _order(stems, likeness)
    moved = [
        (stem, other)
        for stem, other in zip(stems, order, strict=True)
        if stem != other and likeness[stem, other] > max(likeness[stem, stem] + CLEARLY, ALIKE)
    ]
    gained = sum(likeness[pair] - likeness[pair[0], pair[0]] for pair in moved)
    if len(moved) > 1 and gained > TOGETHER:
        words = ", ".join(
            f"{stem!r} holds {other} ({likeness[stem, other]:.2f} alike, "
            f"{likeness[stem, stem]:.2f} with {stem})"
            for stem, other in moved
        )
        yield fault(
            f"stems are exchanged: {words}",
            "the grader knows stems by the names of their files",
            f"return the network's outputs by name; the board's order is {', '.join(stems)}",
        )


def _silent(products: Products, stem: str) -> bool:
    """Whether a stem cannot be compared."""
    return products.silent(estimate(stem)) or products.silent(reference(stem))


def _order(stems: Sequence[str], likeness: dict[tuple[str, str], float]) -> tuple[str, ...]:
    """The names under which the estimates would fit best together."""
    return max(
        itertools.permutations(stems),
        key=lambda order: sum(likeness[pair] for pair in zip(stems, order, strict=True)),
    )
