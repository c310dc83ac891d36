"""Demucs v1 and v2: ours and their authors' own code, with the same random weights at full size.

Needs `--original` with a folder that contains two clones of https://github.com/facebookresearch/demucs
as `v1` and `v2`, and the package julius; see tools/golden/demucs_v2.py.
"""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import peak
from benchmarks.songs import song
from benchmarks.spleeter import streamed
from benchmarks.timing import Line, Side, checkout, compare_outputs
from demixing.machine import threads
from demixing.networks.demucs_v2 import Demucs
from demixing.separators import demucs_v1, demucs_v2
from tools.golden import demucs_v2 as golden
from tools.golden import seeded


@dataclass(frozen=True, slots=True)
class Case:
    """One released network.

    Attributes:
        version: "v1" or "v2".
        channels: channels of the first step.
        song_s: length of the song in seconds, more than one segment.
    """

    version: str
    channels: int
    song_s: float


CASES = (Case("v1", 64, 18.0), Case("v2", 48, 45.0), Case("v2", 64, 45.0))


def run(*, quick: bool, original: Path | None = None) -> Iterator[Line]:
    """Measure without the normalisation of songs.

    Raises:
        ConfigError: there are no clones of the original.
    """
    original = checkout(original, "a folder of two clones of demucs")
    for case in CASES:
        duration_s = 8.0 if quick else case.song_s
        audio = song(duration_s)
        given = (original, case.version, case.channels)
        theirs, ours = _theirs(*given), _ours(*given)
        peaks = peak.of_both("benchmarks.demucs_v2", *given, duration_s)
        what = f"demucs {case.version}, {case.channels} channels: apply_model over ours"
        yield compare_outputs(what, theirs, ours, audio, repeats=3, peaks=peaks)


def _theirs(original: Path, version: str, channels: int) -> Side:
    """Return their driver with their network."""
    with golden.originals(original / version) as (model, utils):
        build = golden.network_v1 if version == "v1" else golden.network_v2
        network: Any = build(model, channels, rescale=0)
    seeded.fill(network)

    def separate(audio: Tensor) -> Tensor:
        # Progress and random shifts are off.
        with torch.no_grad(), contextlib.redirect_stderr(None):
            stems: Tensor = utils.apply_model(network, audio, shifts=0, split=True)
        return stems

    return separate


def _ours(original: Path, version: str, channels: int) -> Side:
    """Return our engine and network."""
    options: dict[str, Any] = {"resample": False, "epsilon": 0.0} if version == "v1" else {}
    network: nn.Module = Demucs(channels, **options)
    seeded.fill(network)
    adapt = demucs_v1.adapt if version == "v1" else demucs_v2.adapt
    separator = adapt(network.eval())  # type: ignore[arg-type]
    del network
    return lambda audio: streamed(separator, audio)


def main(side: str, original: str, version: str, channels: str, duration_s: str) -> None:
    """Separate once and print the peak resident memory in KiB."""
    threads.use()
    make = _ours if side == "ours" else _theirs
    separate = make(Path(original), version, int(channels))
    peak.reset()
    separate(song(float(duration_s)))
    peak.report()


if __name__ == "__main__":
    main(*sys.argv[1:])
