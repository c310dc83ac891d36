"""SCNet: ours and its authors' own code, with the same random weights at full size.

Needs `--original` with a clone of
https://github.com/ZFTurbo/Music-Source-Separation-Training; see tools/golden/scnet.py.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import peak
from benchmarks.songs import song
from benchmarks.timing import Line, Side, checkout, compare_outputs
from demixing.machine import threads
from demixing.networks.scnet import SCNet
from demixing.networks.scnet_fast import rewrite
from tools.golden import scnet as golden
from tools.golden import seeded

CHUNK_S = 11.0
"""As in MSST's configs."""

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def run(*, quick: bool, original: Path | None = None) -> Iterator[Line]:
    """Measure one chunk of the small network in both precisions, and of the large one.

    Raises:
        ConfigError: there is no clone of the original.
    """
    original = checkout(original, "a clone of Music-Source-Separation-Training")
    cases = [("small", "fp32"), ("small", "bf16"), ("large", "fp32")]
    for size, precision in cases[: 2 if quick else 3]:
        yield compare_outputs(
            f"scnet {size}, {precision}: SCNet over ours",
            _theirs(original, size),
            _ours(size, precision),
            song(CHUNK_S),
            repeats=1 if quick else 3,
            peaks=peak.of_both("benchmarks.scnet", original, size, precision),
        )


def _theirs(original: Path, size: str) -> Side:
    """Return their network."""
    network = golden.original(golden.prepare(original)[False], **golden.SIZES[size])
    return _side(network)


def _ours(size: str, precision: str) -> Side:
    """Return our copy for inference."""
    options: dict[str, Any] = dict(golden.SIZES[size])
    shares = options.pop("band_SR", None)
    if shares is not None:
        options["band_shares"] = tuple(shares[:2])
    network = SCNet(**options).eval()
    seeded.fill(network)
    return _side(rewrite(network, PRECISIONS[precision]))


def _side(network: Any) -> Side:
    """Return a function of one song."""

    def separate(audio: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return network(audio[None])[0]  # type: ignore[no-any-return]

    return separate


def main(side: str, original: str, size: str, precision: str) -> None:
    """Separate once and print the peak resident memory in MiB."""
    threads.use()
    separate = _ours(size, precision) if side == "ours" else _theirs(Path(original), size)
    peak.reset()
    separate(song(CHUNK_S))
    peak.report()


if __name__ == "__main__":
    main(*sys.argv[1:])
