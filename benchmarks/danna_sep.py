"""Danna-Sep: ours and its authors' own code, with the same random weights at full size.

Needs `--original` with a folder that contains clones of
https://github.com/yoyololicon/music-demixing-challenge-ismir-2021-entry as `training` and of
https://github.com/yoyololicon/danna-sep as `danna-sep`, and the packages julius and norbert; see
tools/golden/danna_sep.py.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import peak
from benchmarks.songs import song
from benchmarks.spleeter import streamed
from benchmarks.timing import Line, Side, checkout, compare_outputs
from demixing.machine import threads
from demixing.separators import danna_sep
from tools.golden import danna_sep as golden
from tools.golden import seeded

PARTS = ("unet", "demucs", "xumx", "full")
"""Networks that run: one alone, or all."""


def run(*, quick: bool, original: Path | None = None) -> Iterator[Line]:
    """Measure a song of one chunk.

    Raises:
        ConfigError: there are no clones of the original.
    """
    original = checkout(original, "a folder of clones of danna-sep and its training")
    duration_s = 6.0 if quick else 55.0
    for part in PARTS:
        audio = song(duration_s)
        theirs, ours = _theirs(original, part), _ours(original, part)
        peaks = peak.of_both("benchmarks.danna_sep", original, part, duration_s)
        what = f"danna_sep {part}: danna_sep.infer over ours"
        yield compare_outputs(what, theirs, ours, audio, repeats=3, peaks=peaks)


def _theirs(original: Path, part: str) -> Side:
    """Return their inference with their networks."""
    made = golden.networks(original / "training", full=True)
    infer, cli = golden.inference(original / "danna-sep")
    for name in list(made):
        if part not in (name, "full"):
            del made[name]
        else:
            seeded.fill(made[name], keep=golden.constant)
    if part == "full":
        return lambda audio: golden.separated(made, infer, cli, audio, fast=False)
    return lambda audio: golden.one(made, infer, audio, part)


def _ours(original: Path, part: str) -> Side:
    """Return our engine and networks."""
    only = "" if part == "full" else part
    networks = {name: danna_sep.NETWORKS[name][0]() for name in danna_sep.blend(only=only)}
    for network in networks.values():
        seeded.fill(network, keep=golden.constant)
        network.eval()
    separator = danna_sep.adapt(networks, only=only)
    networks.clear()
    return lambda audio: streamed(separator, audio)


def main(side: str, original: str, part: str, duration_s: str) -> None:
    """Separate once and print the peak resident memory in KiB."""
    threads.use()
    make = _ours if side == "ours" else _theirs
    separate = make(Path(original), part)
    peak.reset()
    separate(song(float(duration_s)))
    peak.report()


if __name__ == "__main__":
    main(*sys.argv[1:])
