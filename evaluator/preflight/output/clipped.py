"""Finds samples above full scale, which 16-bit files clip."""

from collections.abc import Iterator, Mapping

from evaluator.preflight import Finding, fault, listed, note
from evaluator.preflight.file_gram import MIXTURE, reference
from evaluator.preflight.graded import Graded

LOUD = 2.0
"""Peak that is too large for an overshoot of a separator, as a multiple of full scale, or of the
mixture's peak if that is larger: sums of stems, stored as floats, may exceed full scale."""

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
        peaks = graded.sounds[result.name].gram.peaks if result.name in graded.sounds else {}
        for stem, array in result.arrays.items():
            place = f"{result.name!r} ({stem})"
            text = f"{place} with a peak of {array.peak:.3f}{_in_the_song(stem, peaks)}"
            if array.peak >= LOUD * max(peaks.get(MIXTURE, 1), 1):
                bad[place] = text
            elif array.peak >= 1:
                few[place] = text
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


def _in_the_song(stem: str, peaks: Mapping[str, float]) -> str:
    """The peaks of the true stem and of the mixture, if they exceed full scale as well."""
    named = {"the true stem": peaks.get(reference(stem), 0), "the mixture": peaks.get(MIXTURE, 0)}
    loud = [f"{peak:.3f} in {name}" for name, peak in named.items() if peak >= 1]
    return f" ({', '.join(loud)})" if loud else ""
