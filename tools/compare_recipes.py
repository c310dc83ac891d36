"""Compare recipes on songs: the tables of docs/decisions/017-htdemucs-in-mdx-default.md.

    python tools/compare_recipes.py RECIPE... --data DIR... [--songs PATTERN...] [--once]

A recipe is a name or a TOML file, all of one track; a ``DIR`` has a folder per song with that
track's stems; never use a test set. Stems that are silent or unknown do not count. The score is the
board's, on floats and not on 16-bit files, without a deadline and without gates. Songs of one
artist count together as much as those of any other (see :mod:`demixing.training.fitting.groups`);
the last columns say how far the worst and the best song are from the first recipe.
"""

import argparse
import dataclasses
import math
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demixing.evaluation.metrics.sdr import sdr
from demixing.evaluation.songs import STEMS, Song, find_songs
from demixing.recipes import reading
from demixing.recipes.recipe import Recipe
from demixing.training.fitting import truth
from demixing.training.fitting.groups import artist_of
from my_submission.predictor import Predictor

ALL_TIME_S = math.inf
"""A deadline that never comes, so that the best settings are taken, however busy the machine is."""

SILENT = 1e-4
"""Stems whose peak is below do not count."""


def scores_db(predictor: Predictor, song: Song, seconds: float) -> list[float]:
    """SDR of each stem; NaN if it is silent, or if what it holds is not known."""
    files = {stem: soundfile.read(path, always_2d=True) for stem, path in song.stems.items()}
    rate_hz = next(rate_hz for _, rate_hz in files.values())
    parts = {
        stem: audio[: round(min(seconds * rate_hz, 1e12))] for stem, (audio, _) in files.items()
    }
    estimates, _ = predictor.separate_within(
        ALL_TIME_S, np.sum(list(parts.values()), axis=0), rate_hz
    )
    known = truth.known(song, predictor.instruments)
    result = []
    for stem in predictor.instruments:
        reference = parts.get(stem)
        if stem not in known or reference is None or np.abs(reference).max() < SILENT:
            result.append(np.nan)
        else:
            result.append(sdr(reference[None], estimates[stem].astype(np.float64)[None])[0])
    return result


def mean_of(scores: NDArray[np.float64], artists: list[str]) -> float:
    """Mean over artists of the mean over their songs that have a score; NaN without any."""
    means = [
        np.nanmean(own)
        for one in dict.fromkeys(artists)
        if not np.isnan(own := scores[[artist == one for artist in artists]]).all()
    ]
    return float(np.mean(means)) if means else math.nan


def once(chosen: Recipe) -> Recipe:
    """The recipe with the first setting of each member only."""
    members = [dataclasses.replace(one, settings=one.settings[:1]) for one in chosen.members]
    return dataclasses.replace(chosen, members=tuple(members))


def main() -> None:
    """Print a row per recipe."""
    parser = argparse.ArgumentParser(description="Compare recipes on songs.")
    parser.add_argument("recipes", nargs="+", metavar="RECIPE")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--songs", nargs="+", default=["*"], metavar="PATTERN")
    parser.add_argument("--seconds", type=float, default=math.inf, help="of each song")
    parser.add_argument("--once", action="store_true", help="each member in its first setting")
    options = parser.parse_args()
    chosen = {name: reading.load(name) for name in options.recipes}
    (track,) = {one.track.name for one in chosen.values()}
    songs = [
        song
        for folder in options.data
        for song in find_songs(folder, track)
        if any(fnmatchcase(song.name, pattern) for pattern in options.songs)
    ]
    artists = [artist_of(song.name, str(song.folder.parent)) for song in songs]
    print(f"{len(songs)} songs by {len(set(artists))} artists")
    print("recipe", *STEMS[track], "all", "worst song", "best song", sep="\t")
    first: NDArray[np.float64] | None = None
    for name, one in chosen.items():
        predictor = Predictor(once(one) if options.once else one)
        table = np.array([scores_db(predictor, song, options.seconds) for song in songs])
        whole = np.nanmean(table, axis=1)
        first = whole if first is None else first
        gains = whole - first
        means = [mean_of(column, artists) for column in (*table.T, whole)]
        figures = [f"{mean:.2f}" for mean in means] + [f"{gains.min():+.2f}", f"{gains.max():+.2f}"]
        print(Path(name).stem, *figures, sep="\t", flush=True)


if __name__ == "__main__":
    main()
