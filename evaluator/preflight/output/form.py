"""Checks type, shape and sample rate of the returned arrays, and the format of the files."""

from collections.abc import Iterator

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.graded import Graded

TYPES = ("float32", "float64")


def find(graded: Graded) -> Iterator[Finding]:
    """Compare arrays and files with the mixture."""
    yield from _types(graded)
    yield from _shapes_and_rates(graded)
    yield from _files(graded)


def _types(graded: Graded) -> Iterator[Finding]:
    """Arrays of other types than floats."""
    found: dict[str, list[str]] = {}
    for result in graded.results:
        for stem, array in result.arrays.items():
            if array.dtype not in TYPES:
                found.setdefault(array.dtype, []).append(f"{result.name!r} ({stem})")
    for dtype, arrays in found.items():
        yield fault(
            f"type {dtype} in {listed(arrays)}",
            "the wrapper writes arrays of floats; float16 raises an error there",
            "return numpy arrays of float32",
        )


def _shapes_and_rates(graded: Graded) -> Iterator[Finding]:
    """Arrays whose shape or sample rate differs from the mixture's."""
    shapes: list[str] = []
    rates: list[str] = []
    layouts = {song.name: song.layout for song in graded.songs}
    for result in graded.results:
        if result.name not in layouts:
            continue
        layout = layouts[result.name]
        expected = (layout.samples, layout.channels)
        # A mono song is passed as a one-dimensional array, and may be returned as one.
        mono = [(layout.samples,)] if layout.channels == 1 else []
        for stem, array in result.arrays.items():
            name = f"{result.name!r} ({stem})"
            if array.shape not in [expected, *mono]:
                shapes.append(f"{name} {array.shape} instead of {expected}")
            if array.rate_hz != layout.sample_rate_hz:
                rates.append(f"{name} {array.rate_hz} instead of {layout.sample_rate_hz}")
    if shapes:
        yield fault(
            f"shape of {listed(shapes)}",
            "the wrapper does not check it, and the grader refuses the file or its length",
            "return (samples, channels) with all samples and channels of the mixture",
        )
    if rates:
        yield fault(
            f"rate of {listed(rates)}",
            "the wrapper writes it into the file, and the grader does not resample",
            "return the rate that came with the song",
        )


def _files(graded: Graded) -> Iterator[Finding]:
    """Files whose format differs from the mixture's."""
    found = [
        f"{song.name!r} ({stem}): {text} instead of {song.layout}"
        for song in graded.songs
        if song.name not in graded.failed  # the grader has reported the reason
        for stem, text in song.wrong.items()
    ]
    if found:
        yield fault(
            f"files of {listed(found)}",
            "the grader compares sample by sample, and one refused song fails all",
            "write each stem with the length, channels and rate of its mixture",
        )
