"""Finds samples above full scale, which 16-bit files clip."""

from collections.abc import Iterator

from evaluator.preflight import Finding, fault, listed, note
from evaluator.preflight.graded import Graded

LOUD = 2.0
"""Peak, as a multiple of full scale, that is too large for an overshoot of a separator."""

MANY = 1e-4
"""Share of samples at full scale that exceeds a few peaks of a loud song."""

WHY = "a 16-bit file clips samples at full scale or above, which is distortion"
HOW = "check the level (undo what normalised the input), and return floats with full scale at 1"


def find(graded: Graded) -> Iterator[Finding]:
    """Check the peaks of the returned arrays, and count samples at full scale in the files.

    A song mastered to full scale may have as many such samples again.
    """
    bad: dict[str, str] = {}
    few: dict[str, str] = {}
    for result in graded.results:
        for stem, array in result.arrays.items():
            place = f"{result.name!r} ({stem})"
            if array.peak >= LOUD:
                bad[place] = f"{place} with a peak of {array.peak:.3g}"
            elif array.peak >= 1:
                few[place] = f"{place} with a peak of {array.peak:.3f}"
    for name, sound in graded.sounds.items():
        gram = sound.gram
        for stem in sound.stems:
            place, count = f"{name!r} ({stem})", gram.full[stem]
            if count > MANY * gram.values + gram.mixture_full:
                bad.setdefault(place, f"{place} with {count / gram.values:.2%} at full scale")
    few = {place: text for place, text in few.items() if place not in bad}
    if bad:
        yield fault(f"clipped: {listed(sorted(bad.values()))}", WHY, HOW)
    if few:
        yield note(
            f"peaks above full scale: {listed(sorted(few.values()))}",
            "a 16-bit file clips them; in a loud song, a few do no harm",
            "leave them, unless quiet songs have them too",
        )
