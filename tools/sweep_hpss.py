"""Compare lengths of the median filters on songs: the table of docs/decisions/001-hpss.md.

    python tools/sweep_hpss.py DATA

``DATA`` has a folder per song with MDX stems; do not use a test set. Silent stems do not count. The
score is that of the leaderboard, on floats instead of 16-bit files.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demixing.evaluation.metrics.sdr import sdr
from demixing.evaluation.songs import find_songs
from demixing.recipes import reading
from my_submission.predictor import Predictor

LENGTHS = [
    (2048, 31, 31),
    (4096, 31, 31),
    (4096, 31, 101),
    (4096, 51, 51),
    (4096, 51, 71),
    (4096, 51, 101),
    (4096, 51, 201),
    (8192, 31, 201),
]
"""Frame, frames across time, bins across frequency."""

STEMS = ("drums", "bass", "other")


def main() -> None:
    """Print a row per choice of lengths."""
    parser = argparse.ArgumentParser(description="Compare lengths of the median filters.")
    parser.add_argument("data", type=Path)
    songs = find_songs(parser.parse_args().data, "mdx")
    base = reading.load("mdx_default")
    print("frame", "across_time", "across_frequency", *STEMS, "all", sep="\t")
    for frame, across_time, across_frequency in LENGTHS:
        options = {
            "frame": frame,
            "frame_hop": frame // 4,
            "across_time": across_time,
            "across_frequency": across_frequency,
        }
        hpss = dataclasses.replace(base.members[1], options=options)
        chosen = dataclasses.replace(base, members=(base.members[0], hpss))
        predictor = Predictor(chosen)
        scores_db = np.full((len(songs), len(STEMS)), np.nan)
        for row, song in enumerate(songs):
            stems = {
                stem: soundfile.read(path, always_2d=True) for stem, path in song.stems.items()
            }
            rate_hz = stems["drums"][1]
            mixture = np.sum([audio for audio, _ in stems.values()], axis=0)
            estimates, _ = predictor.separate_music_file(mixture, rate_hz)
            for column, stem in enumerate(STEMS):
                reference = stems[stem][0]
                estimate = estimates[stem].astype(np.float64)
                if np.abs(reference).max() > 1e-4:
                    scores_db[row, column] = sdr(reference[None], estimate[None])[0]
        means = [*np.nanmean(scores_db, axis=0), np.nanmean(np.nanmean(scores_db, axis=1))]
        print(frame, across_time, across_frequency, *(f"{mean:.2f}" for mean in means), sep="\t")


if __name__ == "__main__":
    main()
