"""Open-Unmix: ours and its authors' own code, with the same random weights at full size.

Needs `--original` with a clone of https://github.com/sigsep/open-unmix-pytorch; see
tools/golden/open_unmix.py.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import peak
from benchmarks.songs import song
from benchmarks.spleeter import streamed
from benchmarks.timing import Line, Side, checkout, compare_outputs
from demixing.machine import threads
from demixing.networks.open_unmix import OpenUnmix, prepared
from demixing.separators import open_unmix
from tools.golden import open_unmix as golden
from tools.golden import seeded

HIDDEN = {"umxhq": 512, "umxl": 1024}


def run(*, quick: bool, original: Path | None = None) -> Iterator[Line]:
    """Measure a song of one chunk, and one of several.

    Raises:
        ConfigError: there is no clone of the original.
    """
    original = checkout(original, "a clone of open-unmix-pytorch")
    for model, duration_s in (("umxhq", 30.0), ("umxl", 30.0), ("umxl", 200.0)):
        seconds = duration_s / 3 if quick else duration_s
        audio = song(seconds)
        theirs, ours = _theirs(original, model), _ours(model)
        peaks = peak.of_both("benchmarks.open_unmix", original, model, seconds)
        what = f"open_unmix {model}: Separator over ours"
        repeats = 1 if quick else 3
        yield compare_outputs(what, theirs, ours, audio, repeats=repeats, peaks=peaks)


def _theirs(original: Path, model: str) -> Side:
    """Return their driver with their networks."""
    module = golden.prepare(original)
    networks = {target: golden.original(module, HIDDEN[model]) for target in golden.TARGETS}
    seeded.fill(golden.Prefixed(networks))
    separator: Any = module.Separator(networks, niter=1)
    separator.freeze()
    return lambda audio: separator(audio[None])[0]


def _ours(model: str) -> Side:
    """Return our engine and networks."""
    networks = {target: OpenUnmix(hidden=HIDDEN[model]).eval() for target in golden.TARGETS}
    seeded.fill(golden.Prefixed(dict(networks)))
    ready = tuple(prepared(networks.pop(target)) for target in golden.TARGETS)
    separator = open_unmix.OpenUnmixes(ready, golden.TARGETS, open_unmix.chunking(70))
    return lambda audio: streamed(separator, audio)


def main(side: str, original: str, model: str, duration_s: str) -> None:
    """Separate once and print the peak resident memory in KiB."""
    threads.use()
    make = _ours(model) if side == "ours" else _theirs(Path(original), model)
    make(song(float(duration_s)))
    peak.report()


if __name__ == "__main__":
    main(*sys.argv[1:])
