"""RoFormers: ours and the training code's, with the same random weights.

Needs `--original` with a clone of https://github.com/ZFTurbo/Music-Source-Separation-Training and
the packages that it imports; see tools/golden/roformer.py. Both sides separate one chunk. The
original uses fused attention, as the published configs want.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import peak
from benchmarks.songs import song
from benchmarks.timing import Line, Side, checkout, compare_outputs
from demixing.errors import ConfigError
from demixing.machine import threads
from demixing.networks.bs_roformer import FREQS_PER_BANDS, BSRoFormer
from demixing.networks.mel_band_roformer import MelBandRoFormer
from tools.golden import roformer as golden

COMMON: dict[str, Any] = {**golden.FULL["mel"], "stft_hop_length": 441}
NETWORKS: dict[str, dict[str, Any]] = {
    "bs": {**COMMON, "depth": 12, "freqs_per_bands": FREQS_PER_BANDS},
    "mel": {**COMMON, "num_bands": 60},
}
"""Sizes of published networks for one stem."""

QUICK_DEPTH = 1
CHUNK_S = 8.0


def run(*, quick: bool, original: Path | None = None) -> Iterator[Line]:
    """Measure one chunk of 8 s; quick: with one block.

    Raises:
        ConfigError: there is no clone of the original, or a package that it imports is missing.
    """
    original = checkout(original, "a clone of Music-Source-Separation-Training")
    for kind, options in NETWORKS.items():
        depth = QUICK_DEPTH if quick else options["depth"]
        peaks = peak.of_both("benchmarks.roformer", original, kind, depth)
        yield compare_outputs(
            f"roformer {kind}, {depth} blocks: the original over ours",
            theirs(original, kind, depth),
            ours(kind, depth),
            song(CHUNK_S),
            repeats=1 if quick else 3,
            peaks=peaks,
        )


def theirs(original: Path, kind: str, depth: int) -> Side:
    """Return their network as a separator of songs."""
    golden.prepare(original)
    try:
        network = golden.original(kind, {**NETWORKS[kind], "depth": depth, "flash_attn": True})
    except ImportError as error:
        raise ConfigError(f"the original needs a package: {error}; install it") from error
    return _separating(network)


def ours(kind: str, depth: int) -> Side:
    """Return our network as a separator of songs."""
    made = BSRoFormer if kind == "bs" else MelBandRoFormer
    return _separating(made(**{**NETWORKS[kind], "depth": depth}).eval())


def _separating(network: Any) -> Side:
    """Fill a network, and run it on one song."""
    golden.fill(network)

    def separate(audio: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return network(audio[None]).reshape(-1, *audio.shape)  # type: ignore[no-any-return]

    return separate


def main(side: str, original: str, kind: str, depth: str) -> None:
    """Separate once and print the peak resident memory in MiB."""
    threads.use()
    make = ours(kind, int(depth)) if side == "ours" else theirs(Path(original), kind, int(depth))
    audio = song(CHUNK_S)
    peak.reset()
    make(audio)
    peak.report()


if __name__ == "__main__":
    main(*sys.argv[1:])
