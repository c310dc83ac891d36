"""The systems of ``compare``: what each word on the command line stands for.

Everything that is quick is checked before anything is separated or scored.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path

from demixing import small_files
from demixing.cli import note
from demixing.engine import optional
from demixing.errors import ConfigError, EvaluationError
from demixing.evaluation import ledger, metrics, report
from demixing.evaluation.comparison import reading as scores_json
from demixing.evaluation.comparison.scores import System
from demixing.evaluation.run import MANIFEST
from demixing.evaluation.scoring import score_folder
from demixing.evaluation.song_files import normal
from demixing.evaluation.songs import STEMS, Song, detect_track, find_songs
from demixing.evaluation.summary import summarise
from demixing.recipes import reading as recipes

SCORES = "scores.json"
ENTRY = re.compile(r"(?P<folder>.*)@(?P<number>[0-9]+)", re.DOTALL)
OUTPUT = "evaluator_outputs"
"""Folder of a ledger that is not named: that of ``evaluate``."""


class Kind(Enum):
    """What a system is given by."""

    SCORES = "scores"
    ESTIMATES = "estimates"
    RECIPE = "recipe"
    ENTRY = "entry of a ledger"


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


def systems(options: argparse.Namespace) -> list[System]:
    """The scores of all systems on the command line, in its order.

    Raises:
        ConfigError: an option is missing or has no use, or a recipe is wrong.
        EvaluationError: something cannot be read or scored, or the tracks differ.
    """
    kinds = {word: kind(word) for word in options.systems}
    _check_options(list(kinds.values()), options)
    prepare = {
        Kind.SCORES: _scores,
        Kind.ESTIMATES: _estimates,
        Kind.RECIPE: _recipe,
        Kind.ENTRY: _entry,
    }
    sources = {word: prepare[one](word, options) for word, one in kinds.items()}
    _check_tracks(sources)
    for source in sources.values():
        source.check()
    found = {word: _chosen(source.score(), options) for word, source in sources.items()}
    return [found[word] for word in options.systems]


def kind(word: str) -> Kind:
    """What a word on the command line stands for.

    >>> kind("mdx_default"), kind("runs@12")
    (<Kind.RECIPE: 'recipe'>, <Kind.ENTRY: 'entry of a ledger'>)
    """
    path = Path(word)
    if word in recipes.names():
        return Kind.RECIPE
    if path.is_dir():
        return Kind.SCORES if _scores_in(path) else Kind.ESTIMATES
    if path.is_file():
        return Kind.RECIPE if path.suffix == ".toml" else Kind.SCORES
    if ENTRY.fullmatch(word):
        return Kind.ENTRY
    return Kind.SCORES if path.suffix == ".json" else Kind.RECIPE


def notes(options: argparse.Namespace) -> Iterator[str]:
    """What must be said below the table."""
    kinds = {kind(word) for word in options.systems}
    if Kind.RECIPE in kinds and len(kinds) > 1:
        yield "recipes were run here, without gates and 16-bit files, unlike the other systems"


def _check_options(kinds: Sequence[Kind], options: argparse.Namespace) -> None:
    """Raise unless the options suit the kinds of systems.

    Raises:
        ConfigError: they do not.
    """
    if not options.seconds > 0:
        raise ConfigError(f"expected --seconds above 0, got {options.seconds:g}")
    needed = (
        (Kind.RECIPE, "--data", "recipes"),
        (Kind.ESTIMATES, "--references", "separated songs"),
    )
    for one, option, what in needed:
        value = getattr(options, option.removeprefix("--"))
        if one in kinds and not value:
            word = options.systems[[kind(word) for word in options.systems].index(one)]
            raise ConfigError(
                f"expected {option} DIR, the songs with true stems for {word!r}, which is "
                f"{_said(one)}; add it"
            )
        if one not in kinds and value:
            raise ConfigError(f"{option} is for {what}, but none is given; leave it out")
    if Kind.RECIPE not in kinds and (options.once or options.seconds < math.inf):
        raise ConfigError("--once and --seconds are for recipes, but none is given; leave them out")


def _said(one: Kind) -> str:
    """A kind of system in a sentence."""
    return "a recipe" if one is Kind.RECIPE else f"a folder without {SCORES}"


def _check_tracks(sources: dict[str, Source]) -> None:
    """Raise unless all systems are of one track.

    Raises:
        ConfigError: they are not.
    """
    found = {source.track: word for word, source in reversed(sources.items())}
    if len(found) > 1:
        listed = " and ".join(f"{track} ({word})" for track, word in sorted(found.items()))
        raise ConfigError(f"expected systems of one track, got {listed}; compare them separately")


def _chosen(system: System, options: argparse.Namespace) -> System:
    """A system with the songs of ``--songs`` only.

    Raises:
        EvaluationError: it has none of them.
    """
    songs = {name: one for name, one in system.songs.items() if wanted(name, options.songs)}
    if not songs:
        patterns = " or ".join(options.songs)
        raise EvaluationError(
            f"expected songs that match {patterns} in {system.name!r}, found none; the first is "
            f"{min(system.songs, default='')!r}"
        )
    return dataclasses.replace(system, songs=songs)


def wanted(name: str, patterns: Sequence[str]) -> bool:
    """Whether the name of a song is, or matches, one of the patterns.

    >>> wanted("Song [live]", ["Song [live]"]), wanted("b", ["a*", "c"])
    (True, False)
    """
    name = normal(name)
    return any(name == normal(one) or fnmatchcase(name, normal(one)) for one in patterns)


# Scores that exist


def _scores_in(folder: Path) -> list[Path]:
    """The files of scores in the folder of a run, or in that of all its tracks."""
    own = folder / SCORES
    if own.is_file():
        return [own]
    return [path for track in STEMS if (path := folder / track / SCORES).is_file()]


def _scores(word: str, options: argparse.Namespace) -> Source:
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
    files = _scores_in(path)
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


def _entry(word: str, options: argparse.Namespace) -> Source:
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
    described = f"entry of the history, recipe {entry.recipe['name']}"
    return _known(entry.scores, f"entry {number} of {folder!r}", word, described, options)


# Separated songs


def _estimates(word: str, options: argparse.Namespace) -> Source:
    """Find the songs of a folder that have references."""
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
    return Source(track, lambda: _scored(word, track, names, options))


def _scored(word: str, track: str, names: Sequence[str], options: argparse.Namespace) -> System:
    """Score a folder of separated songs."""
    say(f"scoring {word}", options)
    official, wanted_one = metrics.load(metrics.OFFICIAL), metrics.load(options.metric)
    scores = score_folder(options.references, Path(word), track, names, further=[wanted_one])
    summary = summarise(scores, track)
    contents = json.loads(report.json_report(summary, official, further=[wanted_one]))
    return _known(contents, repr(word), word, "separated songs", options).score()


# Recipes


def _recipe(word: str, options: argparse.Namespace) -> Source:
    """Read a recipe."""
    recipe = recipes.load(word)
    recipes.check_contest(recipe)
    note(optional.advice(recipe), options)
    metrics.load(options.metric)
    track = recipe.track.name

    def score() -> System:
        from demixing.cli import compare_recipes  # imports torch

        songs = _songs(track, options)
        say(f"separating {len(songs)} songs with {word}", options)
        return compare_recipes.scored(
            word,
            recipe,
            songs,
            metric=metrics.load(options.metric),
            once=options.once,
            seconds=options.seconds,
        )

    return Source(track, score, lambda: _songs(track, options))


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
        print(f"{report.printable(message)} ...", file=sys.stderr, flush=True)
