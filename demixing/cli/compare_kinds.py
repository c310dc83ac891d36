"""The kinds of systems that ``compare`` knows: scores, entries of a history, songs, and recipes.

Each is prepared, which checks everything that is quick; then it is scored, which may take long.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from demixing import printing, small_files
from demixing.cli import note
from demixing.engine import optional
from demixing.errors import ConfigError, EvaluationError
from demixing.evaluation import ledger, metrics, report_json
from demixing.evaluation.comparison import reading as scores_json
from demixing.evaluation.comparison.scores import System
from demixing.evaluation.metrics import Metric
from demixing.evaluation.run import MANIFEST, SCORES
from demixing.evaluation.scoring import score_folder
from demixing.evaluation.song_files import normal
from demixing.evaluation.songs import STEMS, Song, detect_track, find_songs
from demixing.evaluation.summary import summarise
from demixing.recipes import reading as recipes
from demixing.training.fitting import truth

ENTRY = re.compile(r"(?P<folder>.*)@(?P<number>[0-9]+)", re.DOTALL)
OUTPUT = "evaluator_outputs"
"""Folder of a ledger that is not named: that of ``evaluate``."""


@dataclass(frozen=True, slots=True)
class Source:
    """A system that can be scored.

    Attributes:
        track: of its scores.
        score: returns its scores, which may take long.
        check: raises early if it could not.
    """

    track: str
    score: Callable[[], System]
    check: Callable[[], object] = lambda: None


def wanted(name: str, patterns: Sequence[str]) -> bool:
    """Whether the name of a song is, or matches, one of the patterns.

    >>> wanted("Song [live]", ["Song [live]"]), wanted("b", ["a*", "c"])
    (True, False)
    """
    name = normal(name)
    return any(name == normal(one) or fnmatchcase(name, normal(one)) for one in patterns)


# Scores that exist


def scores_in(folder: Path) -> list[Path]:
    """The files of scores in the folder of a run, or in that of all its tracks."""
    own = folder / SCORES
    if own.is_file():
        return [own]
    return [path for track in STEMS if (path := folder / track / SCORES).is_file()]


def scores(word: str, options: argparse.Namespace) -> Source:
    """Read the folder of a run, or a file of scores."""
    path = _one_file(Path(word), options.track)
    recipe = _recipe_of(path.parent / MANIFEST)
    described = f"run of the recipe {recipe}" if recipe else "scores"
    contents = scores_json.load(path)
    return _known(contents, repr(str(path)), word, described, options)


def _one_file(path: Path, track: str | None) -> Path:
    """The file of scores at a path.

    Raises:
        EvaluationError: there are two, and no track is chosen.
    """
    if not path.is_dir():
        return path
    files = scores_in(path)
    chosen = [file for file in files if len(files) == 1 or file.parent.name == track]
    if not chosen:
        raise EvaluationError(
            f"expected the run of one track in {str(path)!r}, found "
            f"{' and '.join(file.parent.name for file in files)}; name one of these folders, or "
            "choose with --track"
        )
    return chosen[0]


def _recipe_of(manifest: Path) -> str:
    """Name of the recipe of a run; empty if it is unknown."""
    try:
        return str(json.loads(small_files.read_text(manifest))["recipe"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _known(
    contents: object, where: str, word: str, described: str, options: argparse.Namespace
) -> Source:
    """A system whose scores have been read."""
    system = scores_json.system(
        contents,
        where,
        name=word,
        kind=described,
        metric=options.metric,
        track=options.track,
    )
    return Source(system.track, lambda: system)


# Entries of a ledger


def entry(word: str, options: argparse.Namespace) -> Source:
    """Read an entry of a ledger."""
    match = ENTRY.fullmatch(word)
    assert match
    folder, number = match["folder"] or OUTPUT, int(match["number"])
    entries = {entry.number: entry for entry in ledger.entries(Path(folder))}
    if number not in entries:
        known = f"1 to {max(entries)}" if entries else "none"
        raise EvaluationError(
            f"expected an entry {number} in the history of {folder!r}, found {known}; "
            "`demixing history` lists them"
        )
    entry = entries[number]
    described = f"entry of the history, recipe {entry.recipe.get('name', 'unknown')}"
    return _known(entry.scores, f"entry {number} of {folder!r}", word, described, options)


def _metric(options: argparse.Namespace) -> Metric:
    """The chosen metric, for scores that do not exist yet; call it before long work.

    Raises:
        EvaluationError: there is no such metric, or its library is not installed.
    """
    found = metrics.load(options.metric)
    metrics.ready([found.name])
    return found


# Separated songs


def estimates(word: str, options: argparse.Namespace) -> Source:
    """Find the songs of a folder that have references."""
    metric = _metric(options)
    track = options.track or detect_track(options.references)
    there = {normal(song.name) for song in find_songs(Path(word), track)}
    names = [
        song.name
        for song in find_songs(options.references, track)
        if normal(song.name) in there and wanted(song.name, options.songs)
    ]
    if not names:
        raise EvaluationError(
            f"expected songs in {word!r} with references in {str(options.references)!r}, found "
            "none; give both the same names, and check --songs"
        )
    return Source(track, lambda: _scored(word, track, names, metric, options))


def _scored(
    word: str, track: str, names: Sequence[str], metric: Metric, options: argparse.Namespace
) -> System:
    """Score a folder of separated songs."""
    say(f"scoring {word}", options)
    scores = score_folder(options.references, Path(word), track, names, further=[metric])
    summary, official = summarise(scores, track), metrics.load(metrics.OFFICIAL)
    contents = report_json.contents(summary, official, further=[metric])
    return _known(contents, repr(word), word, "separated songs", options).score()


# Recipes


def recipe(word: str, options: argparse.Namespace) -> Source:
    """Read a recipe."""
    recipe = recipes.load(word)
    recipes.check_contest(recipe)
    note(optional.advice(recipe), options)
    metric = _metric(options)
    track = recipe.track.name

    def score() -> System:
        from demixing.cli import compare_recipes  # imports torch

        songs = _songs(track, options)
        say(f"separating {len(songs)} songs with {word}", options)
        return compare_recipes.scored(
            word,
            recipe,
            songs,
            metric=metric,
            once=options.once,
            seconds=options.seconds,
        )

    def check() -> None:
        for song in _songs(track, options):
            truth.known(song, recipe.track.stems)
            truth.common_layout(song)

    return Source(track, score, check)


def _songs(track: str, options: argparse.Namespace) -> list[Song]:
    """The songs of ``--data`` and ``--songs``.

    Raises:
        ConfigError: there are none, or two of one name.
    """
    songs = [
        song
        for folder in options.data
        for song in find_songs(folder, track)
        if wanted(song.name, options.songs)
    ]
    if not songs:
        raise ConfigError(f"expected songs that match {' or '.join(options.songs)}, but found none")
    by_name: dict[str, Song] = {}
    for song in songs:
        other = by_name.setdefault(normal(song.name), song)
        if other is not song:
            raise ConfigError(
                f"expected songs with different names, found {song.name!r} in "
                f"{str(other.folder.parent)!r} and {str(song.folder.parent)!r}; give one of these "
                "folders at a time"
            )
    return songs


def say(message: str, options: argparse.Namespace) -> None:
    """Say on stderr what takes long."""
    if not options.quiet:
        print(f"{printing.printable(message)} ...", file=sys.stderr, flush=True)
