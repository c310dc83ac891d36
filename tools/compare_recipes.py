"""Compare recipes on songs: the second table of docs/decisions/004-members-without-training.md.

    python tools/compare_recipes.py RECIPE... --data DIR...

A recipe is a name or a TOML file, all of one track; a ``DIR`` has a folder per song with that
track's stems; never use a test set. Stems that are silent do not count. The score is the board's,
on floats and not on 16-bit files, without a deadline and without gates.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evaluator.metrics.sdr import sdr
from evaluator.songs import STEMS, Song, find_songs
from my_submission import recipe
from my_submission.predictor import Predictor

ALL_TIME_S = math.inf
"""A deadline that never comes, so that the best settings are taken, however busy the machine is."""

SILENT = 1e-4
"""Stems whose peak is below do not count."""


def scores_db(predictor: Predictor, song: Song) -> list[float]:
    """SDR of each stem; NaN if it is silent."""
    files = {stem: soundfile.read(path, always_2d=True) for stem, path in song.stems.items()}
    rates_hz = {rate_hz for _, rate_hz in files.values()}
    mixture = np.sum([audio for audio, _ in files.values()], axis=0)
    estimates, _ = predictor.separate_within(ALL_TIME_S, mixture, rates_hz.pop())
    result = []
    for stem in predictor.instruments:
        reference = files[stem][0]
        estimate = estimates[stem].astype(np.float64)
        silent = np.abs(reference).max() < SILENT
        result.append(np.nan if silent else sdr(reference[None], estimate[None])[0])
    return result


def main() -> None:
    """Print a row per folder and recipe."""
    parser = argparse.ArgumentParser(description="Compare recipes on songs.")
    parser.add_argument("recipes", nargs="+", metavar="RECIPE")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    options = parser.parse_args()
    chosen = {name: recipe.load(name) for name in options.recipes}
    (track,) = {one.track.name for one in chosen.values()}
    print("data", "recipe", "songs", *STEMS[track], "all", sep="\t")
    for folder in options.data:
        songs = find_songs(folder, track)
        for name, one in chosen.items():
            predictor = Predictor(one)
            table = np.array([scores_db(predictor, song) for song in songs])
            means = [*np.nanmean(table, axis=0), np.nanmean(np.nanmean(table, axis=1))]
            figures = (f"{mean:.2f}" for mean in means)
            print(folder.name, Path(name).stem, len(songs), *figures, sep="\t", flush=True)


if __name__ == "__main__":
    main()
