"""Finds stems with swapped names.

The true stem most similar to an estimate is determined over all songs together: a poor separator
may confuse two stems in a single song, but not in most.
"""

import itertools
from collections.abc import Iterator, Sequence

from evaluator.preflight import Finding, fault
from evaluator.preflight.file_gram import FileGram, estimate, reference
from evaluator.preflight.graded import Graded

ALIKE = 0.3
"""Least correlation for which an estimate counts as another stem."""

TOGETHER = 0.3
"""Least total gain in correlation by other names.

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
            # With inverted polarity it is still that stem; another check finds the inversion.
            sums[one, other] += abs(sound.gram.likeness(estimate(one), reference(other)))
            counts[one, other] += 1
    likeness = {pair: sums[pair] / counts[pair] if counts[pair] else 0.0 for pair in sums}
    order = _order(stems, likeness)
    moved = [pair for pair in zip(stems, order, strict=True) if pair[0] != pair[1]]
    gained = sum(likeness[pair] - likeness[pair[0], pair[0]] for pair in moved)
    if gained > TOGETHER and all(likeness[pair] > ALIKE for pair in moved):
        words = ", ".join(
            f"{stem!r} contains {other} ({likeness[stem, other]:.2f} alike, "
            f"{likeness[stem, stem]:.2f} with {stem})"
            for stem, other in moved
        )
        yield fault(
            f"stems are swapped: {words}",
            "the grader identifies stems by file name",
            f"return the network's outputs by name; the leaderboard's order is {', '.join(stems)}",
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
