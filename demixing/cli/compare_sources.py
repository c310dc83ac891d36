"""The systems of ``compare``: what each word on the command line stands for.

Everything that is quick is checked before anything is separated or scored.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path

from demixing.cli import compare_kinds
from demixing.cli.compare_kinds import ENTRY, Source, scores_in, wanted
from demixing.errors import ConfigError, EvaluationError
from demixing.evaluation import metrics
from demixing.evaluation.comparison.scores import System
from demixing.evaluation.run import SCORES
from demixing.recipes import reading as recipes


class Kind(Enum):
    """What a system is given by."""

    SCORES = "scores"
    ESTIMATES = "estimates"
    RECIPE = "recipe"
    ENTRY = "entry of a ledger"


def systems(options: argparse.Namespace) -> list[System]:
    """The scores of all systems on the command line, in its order.

    Raises:
        ConfigError: an option is missing or has no use, or a recipe is wrong.
        EvaluationError: something cannot be read or scored, or the tracks differ.
    """
    _check_metric(options.metric)
    kinds = {word: kind(word) for word in options.systems}
    _check_known(kinds)
    _check_options(list(kinds.values()), options)
    prepare = {
        Kind.SCORES: compare_kinds.scores,
        Kind.ESTIMATES: compare_kinds.estimates,
        Kind.RECIPE: compare_kinds.recipe,
        Kind.ENTRY: compare_kinds.entry,
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
        return Kind.SCORES if scores_in(path) else Kind.ESTIMATES
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


def _check_metric(name: str) -> None:
    """Raise unless there is one metric of a name.

    Raises:
        ConfigError: there is none, or the name stands for several.
    """
    try:
        metrics.load(name)
    except EvaluationError as error:
        raise ConfigError(f"--metric: {error}") from error


def _check_known(kinds: Mapping[str, Kind]) -> None:
    """Raise for a word that is neither a path nor the name of a recipe.

    Raises:
        ConfigError: there is one.
    """
    known = recipes.names()
    for word, one in kinds.items():
        if one is Kind.RECIPE and word not in known and not Path(word).exists():
            close = difflib.get_close_matches(word, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "`demixing list` has the recipes"
            raise ConfigError(
                f"expected a folder, a file of scores, a recipe, or an entry such as @3, got "
                f"{word!r}, which is none of these; {hint}"
            )


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
