"""Type, shape and rate of what was returned, and of the files."""

from collections.abc import Iterator

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.graded import Graded

TYPES = ("float32", "float64")


def find(graded: Graded) -> Iterator[Finding]:
    """Compare arrays and files with the mixture."""
    types: dict[str, list[str]] = {}
    shapes: list[str] = []
    rates: list[str] = []
    layouts = {song.name: song.layout for song in graded.songs}
    for result in graded.results:
        layout = layouts.get(result.name)
        for stem, array in result.arrays.items():
            place = f"{result.name!r} ({stem})"
            if array.dtype not in TYPES:
                types.setdefault(array.dtype, []).append(place)
            if layout is None:
                continue
            # A mono song arrives as a plain row, and may be returned as one.
            right = [(layout.samples, layout.channels)]
            mono = [(layout.samples,)] if layout.channels == 1 else []
            if array.shape not in [*right, *mono]:
                shapes.append(f"{place} {array.shape} in place of {right[0]}")
            if array.rate_hz != layout.sample_rate_hz:
                rates.append(f"{place} {array.rate_hz} in place of {layout.sample_rate_hz}")
    for dtype, places in types.items():
        yield fault(
            f"type {dtype} in {listed(places)}",
            "the wrapper writes arrays of floats; float16 raises an error there",
            "return numpy arrays of float32",
        )
    if shapes:
        yield fault(
            f"shape of {listed(shapes)}",
            "the wrapper does not check it, and the grader refuses the file or its length",
            "return (samples, channels) with all samples and channels of the mixture",
        )
    if rates:
        yield fault(
            f"rate of {listed(rates)}",
            "the wrapper writes it into the file, and nobody resamples",
            "return the rate that came with the song",
        )
    files = [
        f"{song.name!r} ({stem}): {text} in place of {song.layout}"
        for song in graded.songs
        if song.name not in graded.failed  # the grader has said why
        for stem, text in song.wrong.items()
    ]
    if files:
        yield fault(
            f"files of {listed(files)}",
            "the grader compares sample by sample, and one song that is refused fails all",
            "write each stem as long, as wide and at the rate of its mixture",
        )
