"""Compare recipes on songs: the tables of docs/decisions/017-htdemucs-in-mdx-default.md.

    python tools/compare_recipes.py RECIPE... --data DIR... [--songs PATTERN...] [--once]

A recipe is a name or a TOML file; all must be of one track. ``DIR`` has a folder per song with the
stems of that track; do not use a test set. Silent and unknown stems do not count. The score is that
of the leaderboard, on floats instead of 16-bit files, without a deadline and without gates. All
artists have equal weight (see :mod:`demixing.training.fitting.groups`). The last columns are the
differences of the worst and the best song to the first recipe.
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
"""No deadline, so that the best settings are used on any machine."""

SILENT = 1e-4
"""Stems with a lower peak do not count."""


def scores_db(predictor: Predictor, song: Song, seconds: float) -> list[float]:
    """SDR of each stem in dB; NaN if it is silent or unknown."""
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
    """Mean over artists of the mean over their scored songs; NaN without any.

    Args:
        scores: ``(songs,)``.
        artists: of each song.
    """
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
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="most of each song (default: all of it)"
    )
    parser.add_argument("--once", action="store_true", help="use the first setting of each member")
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
