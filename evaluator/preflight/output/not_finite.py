"""Finds NaN and infinity among the samples, which become full scale in a 16-bit file."""

from collections.abc import Iterator

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.graded import Graded

WHY = "a 16-bit file gets noise at full scale instead, without any error"
HOW = "find where the network makes them (float16? a logarithm or division of silence?)"


def find(graded: Graded) -> Iterator[Finding]:
    """Check the returned arrays, and files of a format that can store such samples."""
    places = {
        f"{result.name!r} ({stem})"
        for result in graded.results
        for stem, array in result.arrays.items()
        if not array.finite
    }
    for name, sound in graded.sounds.items():
        unfit = sound.gram.unfit
        places |= {f"{name!r} ({stem})" for stem in sound.stems if unfit[stem]}
    if places:
        yield fault(f"NaN or infinity in {listed(sorted(places))}", WHY, HOW)
