"""Finds swapped left and right channels.

The difference between the channels reveals it. For a correct estimate it correlates with that of
the true stem, or not at all, but never negatively. Thresholds were chosen on excerpts of 41 songs
and film clips, separated by the default recipes: see docs/decisions/012-preflight.md.
"""

from collections.abc import Iterator

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.file_gram import MIXTURE, TOTAL, FileGram, estimate, reference
from evaluator.preflight.graded import Graded

OPPOSED = -0.25
"""Correlation of the differences below which the channels count as swapped."""

ALIKE = 0.2
"""Least correlation of two signals for which their channels are compared."""

WIDTH = 1e-3
"""Share of the energy in the difference below which a signal counts as mono."""


def find(graded: Graded) -> Iterator[Finding]:
    """Compare the stereo images of estimates, true stems and mixtures."""
    found: dict[str, list[str]] = {}
    for name, sound in graded.sounds.items():
        gram = sound.gram
        if not gram.stereo:
            continue
        if _opposed(gram, TOTAL, MIXTURE):
            found.setdefault("all stems", []).append(repr(name))
            continue
        for stem in sound.stems:
            wanted = reference(stem) if sound.files.references else MIXTURE
            if _opposed(gram, estimate(stem), wanted):
                found.setdefault(stem, []).append(repr(name))
    for stem, songs in found.items():
        yield fault(
            f"left and right are swapped in {stem} of {listed(songs)}",
            "the score compares each channel with its own",
            "look for a [::-1], a flip or a test-time augmentation that is not undone",
        )


def _opposed(gram: FileGram, one: str, other: str) -> bool:
    """Whether one file has the mirrored stereo image of the other."""
    if gram.silent(one) or gram.silent(other):
        return False
    if min(gram.width(one), gram.width(other)) < WIDTH:
        return False
    return gram.sides(one, other) < OPPOSED and gram.likeness(one, other) > ALIKE
