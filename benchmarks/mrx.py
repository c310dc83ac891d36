"""MRX: ours and its authors' own code, with the same random weights at full size.

Needs `--original` with a clone of https://github.com/merlresearch/cocktail-fork-separation, and the
package pyloudnorm; see tools/golden/mrx.py.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import peak
from benchmarks.songs import song
from benchmarks.spleeter import streamed
from benchmarks.timing import Line, Side, checkout, compare_outputs
from demixing.machine import threads
from demixing.networks.mrx import MRX, prepared
from demixing.separators.mrx import CocktailFork, chunking
from tools.golden import mrx as golden
from tools.golden import seeded


def run(*, quick: bool, original: Path | None = None) -> Iterator[Line]:
    """Measure a clip of one chunk, and a song of several, without the loudness.

    Raises:
        ConfigError: there is no clone of the original.
    """
    original = checkout(original, "a clone of cocktail-fork-separation")
    for duration_s in (10.0,) if quick else (30.0, 100.0):
        peaks = peak.of_both("benchmarks.mrx", original, duration_s)
        yield compare_outputs(
            "mrx: network over ours in the engine",
            _theirs(original),
            _ours(),
            song(duration_s),
            repeats=1 if quick else 3,
            peaks=peaks,
        )


def _theirs(original: Path) -> Side:
    """Return their network, which takes a whole clip."""
    networks, _ = golden.prepare(original)
    network: Any = networks.MRX().eval()
    seeded.fill(network)

    def side(audio: Tensor) -> Tensor:
        with torch.inference_mode():
            stems: Tensor = network(audio)
        return stems

    return side


def _ours() -> Side:
    """Return our engine and network."""
    network = MRX().eval()
    seeded.fill(network)
    separator = CocktailFork(prepared(network), chunking(60))
    return lambda audio: streamed(separator, audio)


def main(side: str, original: str, duration_s: str) -> None:
    """Separate once and print the peak resident memory in MiB."""
    threads.use()
    run_once = _ours() if side == "ours" else _theirs(Path(original))
    peak.reset()
    run_once(song(float(duration_s)))
    peak.report()


if __name__ == "__main__":
    main(*sys.argv[1:])
