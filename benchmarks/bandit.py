"""BandIt: ours and its authors' own layers, with the same random weights at full size.

Needs `--original` with a clone of https://github.com/ZFTurbo/Music-Source-Separation-Training; see
tools/golden/bandit.py.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import peak
from benchmarks.songs import song
from benchmarks.timing import Line, Side, checkout, compare_outputs
from demixing.machine import threads
from demixing.separators import bandit
from demixing.separators.msst.config import Config
from demixing.weights.loading import fill
from tools.golden import bandit as golden
from tools.golden import seeded

KINDS: dict[str, dict[str, Any]] = {"v2": golden.V2, "plus": golden.PLUS}


def run(*, quick: bool, original: Path | None = None) -> Iterator[Line]:
    """Measure both networks on one chunk.

    Raises:
        ConfigError: there is no clone of the original.
    """
    original = checkout(original, "a clone of Music-Source-Separation-Training")
    duration_s = 2.0 if quick else 8.0
    for kind in KINDS:
        theirs, ours = _sides(original, kind)
        peaks = peak.of_both("benchmarks.bandit", original, kind, duration_s)
        what = f"bandit {kind}: network over ours"
        repeats = 1 if quick else 3
        yield compare_outputs(what, theirs, ours, song(duration_s), repeats=repeats, peaks=peaks)


def _original(original: Path, kind: str) -> nn.Module:
    """Return their network."""
    classes = dict(zip(KINDS, golden.prepare(original), strict=True))
    network: nn.Module = classes[kind](**KINDS[kind], **golden.FULL).eval()
    seeded.fill(network, keep=golden.constant)
    return network


def _ours(theirs: nn.Module, kind: str) -> nn.Module:
    """Return our network with the weights of theirs."""
    names = {"instruments": KINDS[kind]["stems"]}
    config = Config({"model": KINDS[kind] | golden.FULL, "training": names}, kind)
    network, state = bandit.network(config, theirs.state_dict())
    fill(network, state, kind)
    return network


def _sides(original: Path, kind: str) -> tuple[Side, Side]:
    """Return both networks as functions of a song."""
    theirs = _original(original, kind)
    return _run(theirs), _run(_ours(theirs, kind))


def _run(network: nn.Module) -> Side:
    """Return a network as a function of a song."""

    def side(audio: Tensor) -> Tensor:
        with torch.inference_mode():
            stems: Tensor = network(audio[None])
        return stems[0]

    return side


def main(side: str, original: str, kind: str, duration_s: str) -> None:
    """Separate once and print the peak resident memory in MiB."""
    threads.use()
    network = _original(Path(original), kind)
    if side == "ours":
        network = _ours(network, kind)
    peak.reset()
    _run(network)(song(float(duration_s)))
    peak.report()


if __name__ == "__main__":
    main(*sys.argv[1:])
