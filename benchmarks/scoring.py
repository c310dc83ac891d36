"""Scoring four stems of four minutes, ours and the contest's way to do it.

The contest's evaluator reads all files of a song with ``soundfile.read``, stacks them, rounds them
to float32 and applies its formula. That code is a few lines of numpy and written here from its
description. The files are 16-bit WAV files, which the system has cached.

    python -m benchmarks.scoring SIDE FOLDER    scores with one side, and prints its peak memory
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from benchmarks import peak
from demixing.evaluation.scoring import score_song
from demixing.evaluation.songs import STEMS, Song

if TYPE_CHECKING:
    from benchmarks.timing import Line

TRACK = "mdx"
RATE_HZ = 44_100
SECONDS = 240
QUICK_SECONDS = 30


def run(*, quick: bool) -> Iterator["Line"]:
    """Measure one song, in turns, and the memory of each side in a process of its own."""
    from benchmarks.timing import compare  # imports torch, which would count as memory

    seconds = QUICK_SECONDS if quick else SECONDS
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_song(folder, seconds)
        differ_db = max(
            abs(one - other) for one, other in zip(theirs(folder), ours(folder), strict=True)
        )
        peaks = peak.of_both("benchmarks.scoring", folder)
        yield compare(
            f"scoring: the official SDR of {len(STEMS[TRACK])} x {seconds} s",
            lambda: theirs(folder),
            lambda: ours(folder),
            repeats=3 if quick else 5,
            note=lambda theirs_s, ours_s: (
                f"{theirs_s:.2f} s and {ours_s:.2f} s, {peaks}, "
                f"scores differ by {differ_db:.0e} dB at most"
            ),
        )


def write_song(folder: Path, seconds: int) -> None:
    """Write noise as true stems, and with more noise as estimates."""
    rng = np.random.default_rng(2023)
    shape = (seconds * RATE_HZ, 2)
    for side in ("references", "estimates"):
        (folder / side).mkdir()
    for stem in STEMS[TRACK]:
        reference = 0.1 * rng.standard_normal(shape, np.float32)
        estimate = reference + 0.03 * rng.standard_normal(shape, np.float32)
        for side, audio in (("references", reference), ("estimates", estimate)):
            soundfile.write(folder / side / f"{stem}.wav", audio, RATE_HZ, subtype="PCM_16")


def theirs(folder: Path) -> list[float]:
    """The contest's way."""
    references, estimates = (
        np.stack([soundfile.read(folder / side / f"{stem}.wav")[0] for stem in STEMS[TRACK]])
        for side in ("references", "estimates")
    )
    references, estimates = references.astype(np.float32), estimates.astype(np.float32)
    signal = np.sum(np.square(references), axis=(1, 2)) + 1e-7
    distortion = np.sum(np.square(references - estimates), axis=(1, 2)) + 1e-7
    scores: list[float] = (10 * np.log10(signal / distortion)).tolist()
    return scores


def ours(folder: Path) -> list[float]:
    """Our way, with all of its checks."""
    songs = [
        Song("song", folder / side, {s: folder / side / f"{s}.wav" for s in STEMS[TRACK]}, ())
        for side in ("references", "estimates")
    ]
    return list(score_song(songs[0], songs[1], STEMS[TRACK]).stems_db.values())


def main(arguments: Sequence[str]) -> None:
    """Score with one side, and print the peak memory of this process in MiB."""
    sides: dict[str, Callable[[Path], list[float]]] = {"theirs": theirs, "ours": ours}
    sides[arguments[0]](Path(arguments[1]))
    peak.report()


if __name__ == "__main__":
    main(sys.argv[1:])
