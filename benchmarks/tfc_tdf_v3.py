"""TFC-TDF v3: ours and KUIELab's own network, with the same random weights at full size.

Needs `--original` with a clone of https://github.com/kuielab/sdx23; see
tools/golden/tfc_tdf_v3.py. Both separate one chunk.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import peak
from benchmarks.songs import SAMPLE_RATE_HZ, song
from benchmarks.timing import Line, Side, checkout, compare_outputs
from demixing.machine import threads
from demixing.networks.tfc_tdf_v3 import TFCTDFv3
from tools.golden import seeded
from tools.golden import tfc_tdf_v3 as golden

FRAMES = {"cdx_a": 256, "mdx_ab": 256}
"""Frames of a chunk, by configuration. For MDX, the authors use 1024."""


def run(*, quick: bool, original: Path | None = None) -> Iterator[Line]:
    """Measure the networks for film and for music.

    Raises:
        ConfigError: there is no clone of the original.
    """
    original = checkout(original, "a clone of sdx23")
    for name, most in FRAMES.items():
        frames = most // 4 if quick else most
        peaks = peak.of_both("benchmarks.tfc_tdf_v3", original, name, frames)
        yield compare_outputs(
            f"tfc_tdf_v3 {name}: network over ours",
            _theirs(original, name),
            _ours(name),
            _chunk(name, frames),
            repeats=3,
            peaks=peaks,
        )


def _chunk(name: str, frames: int) -> Tensor:
    """Return a mixture, ``(2, samples)``, with the given number of frames."""
    samples = int(golden.OFFICIAL[name]["audio"]["hop_length"]) * (frames - 1)
    return song(samples / SAMPLE_RATE_HZ + 1)[:, :samples]


def _theirs(original: Path, name: str) -> Side:
    """Return their network as a function of a mixture."""
    network = golden.original(original, golden.OFFICIAL[name])
    seeded.fill(network)

    def separate(audio: Tensor) -> Tensor:
        with torch.inference_mode(), golden.runnable():
            return network(audio[None])[0]  # type: ignore[no-any-return]

    return separate


def _ours(name: str) -> Side:
    """Return our network as a function of a mixture."""
    choice = golden.OFFICIAL[name]
    stft = {key: choice["audio"][key] for key in ("n_fft", "hop_length", "dim_f")}
    stems = len(choice["training"]["instruments"])
    network = TFCTDFv3(**stft, **choice["model"], stems=stems).eval()
    seeded.fill(network)

    def separate(audio: Tensor) -> Tensor:
        with torch.inference_mode():
            return network(audio[None])[0]  # type: ignore[no-any-return]

    return separate


def main(side: str, original: str, name: str, frames: str) -> None:
    """Separate once and print the peak resident memory in MiB."""
    threads.use()
    separate = _ours(name) if side == "ours" else _theirs(Path(original), name)
    audio = _chunk(name, int(frames))
    peak.reset()
    separate(audio)
    peak.report()


if __name__ == "__main__":
    main(*sys.argv[1:])
