"""ByteSep: ours and its authors' own code, with the same random weights at full size.

Needs `--original` with a clone of https://github.com/bytedance/music_source_separation and the
package torchlibrosa; see tools/golden/bytesep.py.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import peak
from benchmarks.songs import SAMPLE_RATE_HZ, song
from benchmarks.spleeter import streamed
from benchmarks.timing import Line, Side, checkout, compare_outputs
from demixing.machine import threads
from demixing.networks.bytesep import ResUNet143
from demixing.networks.bytesep_fast import prepared
from demixing.networks.bytesep_mobilenet import MobileNet
from demixing.separators import bytesep
from tools.golden import bytesep as golden
from tools.golden import seeded

SEGMENTS_S = {"subband": 30.0, "mobilenet": 30.0, "ismir2021": 6.0}
"""Length of a segment. The authors use 30 s, which takes the network of 2021 several minutes."""


def run(*, quick: bool, original: Path | None = None) -> Iterator[Line]:
    """Measure songs of one segment, for which both sides run their network once.

    Raises:
        ConfigError: there is no clone of the original.
    """
    original = checkout(original, "a clone of music_source_separation")
    with tempfile.TemporaryDirectory() as home:
        golden.prepare(original, Path(home))
        for variant, segment_s in SEGMENTS_S.items():
            seconds = segment_s / 3 if quick else segment_s
            audio = song(seconds)
            theirs, ours = _theirs(variant, seconds), _ours(variant, seconds)
            peaks = peak.of_both("benchmarks.bytesep", original, variant, seconds)
            what = f"bytesep {variant}: Separator over ours"
            repeats = 1 if quick else 3
            yield compare_outputs(what, theirs, ours, audio, repeats=repeats, peaks=peaks)


def _theirs(variant: str, segment_s: float) -> Side:
    """Return their driver with their network, after :func:`tools.golden.bytesep.prepare`."""
    import bytesep.separator as driver  # type: ignore[import-not-found]

    segment = round(segment_s * SAMPLE_RATE_HZ)
    network = golden.original(variant)
    seeded.fill(network, keep=golden.constant)
    separator: Any = driver.Separator(network, segment, batch_size=1, device="cpu")
    return lambda audio: torch.from_numpy(separator.separate({"waveform": audio.numpy()}))


def _ours(variant: str, segment_s: float) -> Side:
    """Return our engine and network, with the authors' filters."""
    with torch.device("meta"):
        empty = MobileNet() if variant == "mobilenet" else ResUNet143(variant=variant)
    shapes = {key: tuple(value.shape) for key, value in empty.state_dict().items() if value.dim()}
    ready = prepared(bytesep.network(variant, seeded.state(shapes), variant))
    if ready.bands > 1:
        ready.pqmf.load_state_dict(golden.original("mobilenet").pqmf.state_dict())
    separator = bytesep.ByteSep((ready,), ("vocals",), bytesep.chunking(segment_s))
    return lambda audio: streamed(separator, audio)[0]


def main(side: str, original: str, variant: str, segment_s: str) -> None:
    """Separate once and print the peak resident memory in KiB."""
    threads.use()
    seconds = float(segment_s)
    with tempfile.TemporaryDirectory() as home:
        golden.prepare(Path(original), Path(home))
        make = _ours if side == "ours" else _theirs
        make(variant, seconds)(song(seconds))
    peak.report()


if __name__ == "__main__":
    main(*sys.argv[1:])
