"""Stems under each other's names.

Which true stem an estimate is most like is asked of all songs together: of a single one, a poor
separator may well confuse two stems, but not of most.
"""

import itertools
from collections.abc import Iterator, Sequence

from evaluator.preflight import Finding, fault
from evaluator.preflight.file_gram import FileGram, estimate, reference
from evaluator.preflight.graded import Graded

ALIKE = 0.3
"""Correlation at which an estimate is alike enough to a stem to be taken for it."""

TOGETHER = 0.3
"""How much better all estimates together must fit to other stems than their own, in correlation.

One of them may well fit worse: poorly separated effects that hold music are still like effects.
Honest answers in too little time came as far as 0.19.
"""


def find(graded: Graded) -> Iterator[Finding]:
    """Compare each estimate with each true stem."""
    stems = graded.stems
    pairs = [(one, other) for one in stems for other in stems]
    sums, counts = dict.fromkeys(pairs, 0.0), dict.fromkeys(pairs, 0)
    for sound in graded.sounds.values():
        if not sound.files.references:
            continue
        # A silent stem is like nothing; all pairs of a song count, or none.
        heard = [stem for stem in stems if not _silent(sound.gram, stem)]
        for one, other in itertools.product(heard, repeat=2):
            # One that is upside down is still that stem; its polarity is another check's business.
            sums[one, other] += abs(sound.gram.likeness(estimate(one), reference(other)))
            counts[one, other] += 1
    likeness = {pair: sums[pair] / counts[pair] if counts[pair] else 0.0 for pair in sums}
    order = _order(stems, likeness)
    moved = [pair for pair in zip(stems, order, strict=True) if pair[0] != pair[1]]
    gained = sum(likeness[pair] - likeness[pair[0], pair[0]] for pair in moved)
    if gained > TOGETHER and all(likeness[pair] > ALIKE for pair in moved):
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


def _silent(gram: FileGram, stem: str) -> bool:
    """Whether a stem cannot be compared."""
    return gram.silent(estimate(stem)) or gram.silent(reference(stem))


def _order(stems: Sequence[str], likeness: dict[tuple[str, str], float]) -> tuple[str, ...]:
    """The names under which the estimates would fit best together."""
    return max(
        itertools.permutations(stems),
        key=lambda order: sum(likeness[pair] for pair in zip(stems, order, strict=True)),
    )
