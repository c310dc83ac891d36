"""Stems that have each other's names.

The true stem that an estimate is most similar to is found over all songs together: in a single song
a poor separator may confuse two stems, but not in most.
"""

import itertools
from collections.abc import Iterator, Sequence

from evaluator.preflight import Finding, fault
from evaluator.preflight.file_gram import FileGram, estimate, reference
from evaluator.preflight.graded import Graded

ALIKE = 0.3
"""Smallest correlation for which an estimate is taken for another stem."""

TOGETHER = 0.3
"""Sum of the gains in correlation that other names must bring.

A single estimate may get worse: poorly separated effects that contain music are still similar to
effects. Correct separations in too little time reached 0.19.
"""


def find(graded: Graded) -> Iterator[Finding]:
    """Compare each estimate with each true stem."""
    stems = graded.stems
    pairs = [(one, other) for one in stems for other in stems]
    sums, counts = dict.fromkeys(pairs, 0.0), dict.fromkeys(pairs, 0)
    for sound in graded.sounds.values():
        if not sound.files.references:
            continue
        # A silent stem cannot be compared, so none of its pairs count.
        audible = [stem for stem in stems if not _silent(sound.gram, stem)]
        for one, other in itertools.product(audible, repeat=2):
            # With inverted polarity it is still that stem; another check finds that.
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
    """The order of names that fits the estimates best together."""
    return max(
        itertools.permutations(stems),
        key=lambda order: sum(likeness[pair] for pair in zip(stems, order, strict=True)),
    )
