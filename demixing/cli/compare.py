"""``compare RECIPE... --data DIR``: the scores of several recipes on the same songs."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from demixing.cli import STDOUT, arguments, check_target, note, write_or_print
from demixing.engine import optional
from demixing.errors import ConfigError
from demixing.evaluation.songs import STEMS, Song, find_songs
from demixing.recipes import reading

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers
    from demixing.engine.demixer import Demixer

SILENT = 1e-4
"""Stems with a lower peak are ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The scores of one recipe, in dB; None if no song has a score.

    Attributes:
        recipe: name or path, as given.
        stems: mean SDR by stem.
        mean: mean over the songs' means.
        worst: gain over the first recipe, in the song with the smallest gain.
        best: gain over the first recipe, in the song with the largest gain.
    """

    recipe: str
    stems: dict[str, float | None]
    mean: float | None
    worst: float | None
    best: float | None


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "compare",
        description="Print the mean SDR of recipes of one track, tab-separated: the leaderboard's, "
        "but of floats, without a time limit and without gates. Stems that are silent or unknown "
        "do not count. All artists have the same weight, and so have all songs of an artist. The "
        "last two columns are the gains over the first recipe in the worst and in the best song. "
        "Do not use a test set.",
    )
    parser.add_argument(
        "recipes", nargs="+", metavar="RECIPE", help="a name from `demixing list`, or a TOML file"
    )
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        action="extend",
        required=True,
        metavar="DIR",
        help="folders with a folder per song that contains stems",
    )
    parser.add_argument(
        "--songs",
        nargs="+",
        default=["*"],
        metavar="PATTERN",
        help="only songs whose names match one of these (default: all)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=math.inf,
        metavar="S",
        help="only the beginning of each song (default: all of it)",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="without test-time augmentation: each member in its first setting",
    )
    arguments.add_json_file(parser)


def run(options: argparse.Namespace) -> int:
    """Print one row per recipe."""
    check_target(options.json)
    track, songs = chosen_songs(options)
    from demixing.cli import unlimited  # imports torch
    from demixing.training.fitting.groups import artist_of

    artists = [artist_of(song.name, str(song.folder.parent)) for song in songs]
    printed = options.json != STDOUT
    if printed:
        print(f"{len(songs)} songs by {len(set(artists))} artists")
        print("recipe", *STEMS[track], "all", "worst song", "best song", sep="\t", flush=True)
    rows = []
    first: list[list[float]] | None = None
    for name in options.recipes:
        demixer = unlimited.ready(reading.load(name), once=options.once)
        table = [scores_db(demixer, song, options.seconds) for song in songs]
        first = table if first is None else first
        rows.append(row(name, track, table, first, artists))
        if printed:
            print(line(rows[-1]), flush=True)
    result = {"songs": [song.name for song in songs], "recipes": [asdict(one) for one in rows]}
    write_or_print(options.json, lambda: json.dumps(result, indent=2) + "\n")
    return 0


def chosen_songs(options: argparse.Namespace) -> tuple[str, list[Song]]:
    """Find the recipes' track, and the songs.

    Raises:
        ConfigError: the recipes are for different tracks, no song is chosen, or a length is not
            positive.
        EvaluationError: a folder contains no songs.
    """
    if not options.seconds > 0:
        raise ConfigError(f"expected --seconds above 0, got {options.seconds:g}")
    loaded = [reading.load(name) for name in options.recipes]
    for one in loaded:
        reading.check_contest(one)
        note(optional.advice(one), options)
    tracks = {one.track.name for one in loaded}
    if len(tracks) > 1:
        raise ConfigError("expected recipes of one track, got some of mdx and some of cdx")
    (track,) = tracks
    songs = [
        song
        for folder in options.data
        for song in find_songs(folder, track)
        if any(fnmatchcase(song.name, pattern) for pattern in options.songs)
    ]
    if not songs:
        raise ConfigError(f"expected songs that match {' or '.join(options.songs)}, but found none")
    return track, songs


def scores_db(demixer: Demixer, song: Song, seconds: float) -> list[float]:
    """SDR of each stem at the beginning of a song; NaN if it is silent or unknown."""
    import numpy as np

    from demixing.cli import unlimited
    from demixing.evaluation import audio as files_of_audio
    from demixing.evaluation.metrics.sdr import sdr
    from demixing.training.fitting import truth

    files = {stem: files_of_audio.read(path) for stem, path in song.stems.items()}
    rate_hz = next(rate_hz for _, rate_hz in files.values())
    parts = {
        stem: audio[: round(min(seconds * rate_hz, 1e12))] for stem, (audio, _) in files.items()
    }
    estimates = unlimited.separated(demixer, np.sum(list(parts.values()), axis=0), rate_hz)
    known = truth.known(song, list(estimates))
    result = []
    for stem, estimate in estimates.items():
        reference = parts.get(stem)
        if stem not in known or reference is None or np.abs(reference).max() < SILENT:
            result.append(math.nan)
        else:
            result.append(sdr(reference[None], estimate[None].astype(np.float64))[0])
    return result


def row(
    name: str,
    track: str,
    table: Sequence[Sequence[float]],
    first: Sequence[Sequence[float]],
    artists: Sequence[str],
) -> Row:
    """Summarise the scores of a recipe.

    Args:
        name: of the recipe.
        track: of all recipes.
        table: scores in dB of each stem in each song; NaN if there is none.
        first: the same for the first recipe.
        artists: of the songs.
    """
    songs = [mean_known(song) for song in table]
    before = [mean_known(song) for song in first]
    gains = [new - old for new, old in zip(songs, before, strict=True)]
    known = [gain for gain in gains if not math.isnan(gain)]
    means = [mean_of(column, artists) for column in (*zip(*table, strict=True), songs)]
    *stems, mean = (None if math.isnan(one) else one for one in means)
    return Row(
        recipe=name,
        stems=dict(zip(STEMS[track], stems, strict=True)),
        mean=mean,
        worst=min(known, default=None),
        best=max(known, default=None),
    )


def line(one: Row) -> str:
    """A row of the table."""
    figures = ["-" if mean is None else f"{mean:.2f}" for mean in (*one.stems.values(), one.mean)]
    figures += ["-" if gain is None else f"{gain:+.2f}" for gain in (one.worst, one.best)]
    return "\t".join([Path(one.recipe).stem, *figures])


def mean_of(scores: Sequence[float], artists: Sequence[str]) -> float:
    """Mean over artists of the mean over their songs with a score; NaN if there is none."""
    by_artist: dict[str, list[float]] = {}
    for artist, score in zip(artists, scores, strict=True):
        by_artist.setdefault(artist, []).append(score)
    return mean_known([mean_known(own) for own in by_artist.values()])


def mean_known(scores: Sequence[float]) -> float:
    """Mean of the known scores; NaN if there are none.

    >>> mean_known([1.0, math.nan, 3.0])
    2.0
    """
    known = [score for score in scores if not math.isnan(score)]
    return fmean(known) if known else math.nan
