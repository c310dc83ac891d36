"""Fits a recipe's ensemble weights, mixture consistency and gates to songs with known stems.

For each stem and each set of its members, the weights are solved for in closed form, and scored on
songs that were left out in turn. Members with a doubt follow in a second stage. Members that
subtract stems from the mixture are run again with the fitted weights. Finally, each other setting
of a member is compared with its first: write that gain into the recipe, as ``gain_db``.
"""

import argparse
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from demixing.engine.demixer import Demixer
from demixing.ensemble.setting import Setting
from demixing.errors import ConfigError
from demixing.evaluation.report_files import check_writable
from demixing.evaluation.songs import find_songs
from demixing.machine import threads
from demixing.plugins import did_you_mean
from demixing.recipes import reading
from demixing.recipes.recipe import Recipe
from demixing.training.fitting import consistency, gates, groups
from demixing.training.fitting.blending import Method, mean_of
from demixing.training.fitting.fits import Fits
from demixing.training.fitting.measured import of_song, of_stems, prepare
from demixing.training.fitting.report import report, row, stem_scores_db
from demixing.training.fitting.song_gram import SongGram, audible, unseen
from demixing.training.fitting.writing import write

Measure = Callable[[Recipe], list[SongGram]]
"""Separates all songs with a recipe, and returns their Gram matrices."""


def fit(options: argparse.Namespace) -> Iterator[str]:
    """Fit a recipe, write it on request, and yield the lines of the report.

    Args:
        options: options of the command, see :mod:`demixing.cli.fit`.

    Raises:
        ConfigError: the recipe or an option is wrong.
        EvaluationError: a song cannot be read, or the recipe's file is no place for it.
        OutputError: the recipe or the cache cannot be written.
    """
    if not 0 < options.silent < 1:
        raise ConfigError(f"expected --silent to be between 0 and 1, got {options.silent}")
    given = reading.load(options.recipe).required()  # weights need optional members as well
    methods = methods_of(options, given.track.stems)
    if options.output:
        check_writable(options.output)
    if options.cache:
        prepare(options.cache)
    measure = _measure(options, given)
    threads.use()
    plain = with_settings(unfitted(given), [0] * len(given.members))
    fits = _fits(plain, methods, options.rounds, measure)
    songs = fits.all_songs
    fair = unseen(songs, [member.name for member in plain.members])
    fitted = dataclasses.replace(plain, blends=tuple(fits.blends()))
    shared = unseen(songs, plain.undoubted)
    fitted = dataclasses.replace(fitted, consistency=consistency.fit(fitted, shared))
    fitted = dataclasses.replace(fitted, gates=gates.fit(fitted, fair, options.silent))
    try:
        if options.output:
            write(options.output, Path(options.recipe), fitted)
    finally:  # it took hours, and perhaps only the disk is full
        yield from report(plain, fitted, songs, fits)
    yield from _gains(given, fitted, fair, measure)


def _measure(options: argparse.Namespace, given: Recipe) -> Measure:
    """Find the songs, and prepare their measurement.

    Raises:
        ConfigError: a pattern of ``--trained-on`` is wrong, or a stem is in too few songs.
        EvaluationError: a folder has no songs, or a stem is damaged.
    """
    trained = trained_on(options.trained_on, given)
    known = [song for folder in options.data for song in find_songs(folder, given.track.name)]
    # Separating takes hours; the true stems alone show whether there are enough songs.
    true = [placed(of_stems(song, given.track.stems), options.by, trained) for song in known]
    Fits(unfitted(given), true, {}).check()

    def measure(recipe: Recipe) -> list[SongGram]:
        demixer = Demixer(recipe)
        songs = [of_song(song, demixer, options.cache) for song in known]
        return [placed(song, options.by, trained) for song in songs]

    return measure


def _fits(plain: Recipe, methods: dict[str, Method], rounds: int, measure: Measure) -> Fits:
    """Fit all sets of members, in rounds if a member subtracts fitted stems from its input."""
    if not any(member.subtract for member in plain.members):
        rounds = 1
    fits = Fits(plain, measure(plain), methods)
    for _ in range(rounds - 1):
        # The weights change the input of members that subtract stems, so these are run again.
        fitted = dataclasses.replace(plain, blends=tuple(fits.blends()))
        fits = Fits(plain, measure(fitted), methods)
    return fits


def _gains(
    given: Recipe, fitted: Recipe, fair: Sequence[SongGram], measure: Measure
) -> Iterator[str]:
    """Lines of the report with the gain of each other setting of a member over its first."""
    for index, member in enumerate(given.members):
        for number, setting in enumerate(member.settings[1:], 1):
            numbers = [0] * len(given.members)
            numbers[index] = number
            other = dataclasses.replace(fitted, members=with_settings(given, numbers).members)
            gain_db = gain(fitted, list(member.outputs), fair, measure(other))
            yield row(f"gain of {member.name} with {shown(setting)}", gain_db)


def methods_of(options: argparse.Namespace, stems: Sequence[str]) -> dict[str, Method]:
    """The method of each stem.

    Raises:
        ConfigError: a ridge is not a number of 0 or above, or its stem does not exist.
    """
    ridges: dict[str, tuple[float, ...]] = {}
    for text in options.ridge:
        stem, _, number = text.rpartition("=")
        try:
            ridge = float(number)
        except ValueError as error:
            raise ConfigError(f"expected --ridge [STEM=]NUMBER, got {text!r}") from error
        if not 0 <= ridge < math.inf:
            raise ConfigError(f"expected --ridge to be 0 or above, got {number}")
        if stem and stem not in stems:
            raise ConfigError(f"--ridge: no stem {stem!r}{did_you_mean(stem, list(stems))}")
        ridges[stem] = (ridge,)
    return {
        stem: Method(
            ridges=ridges.get(stem, ridges.get("", Method().ridges)),
            mixture=not options.no_mixture,
            non_negative=options.non_negative,
        )
        for stem in stems
    }


def trained_on(texts: Sequence[str], recipe: Recipe) -> list[tuple[str, str]]:
    """Read which members were trained on which songs.

    Raises:
        ConfigError: a text is not MEMBER=PATTERN, or there is no such member.
    """
    members = [member.name for member in recipe.members]
    result = []
    for text in texts:
        member, equals, pattern = text.partition("=")
        if not equals or not pattern:
            raise ConfigError(f"expected --trained-on MEMBER=PATTERN, got {text!r}")
        if member not in members:
            hint = did_you_mean(member, members)
            raise ConfigError(f"--trained-on: the recipe has no member {member!r}{hint}")
        result.append((member, pattern))
    return result


def placed(song: SongGram, by: str, trained: Sequence[tuple[str, str]]) -> SongGram:
    """The song with its artist, if needed, and with the members that were trained on it."""
    return dataclasses.replace(
        song,
        artist=groups.artist_of(song.song, song.folder) if by == "artist" else None,
        seen_by=frozenset(name for name, pattern in trained if fnmatchcase(song.song, pattern)),
    )


def with_settings(recipe: Recipe, numbers: Sequence[int]) -> Recipe:
    """The recipe with one setting for each member, by its number."""
    members = zip(recipe.members, numbers, strict=True)
    return dataclasses.replace(
        recipe,
        members=tuple(
            dataclasses.replace(member, settings=(member.settings[number],))
            for member, number in members
        ),
    )


def gain(
    fitted: Recipe, stems: Sequence[str], songs: Sequence[SongGram], again: Sequence[SongGram]
) -> float:
    """Gain of another setting over the first, in the fitted recipe.

    Args:
        fitted: recipe with fitted weights and mixture consistency.
        stems: stems that the member estimates.
        songs: songs on which no member was trained.
        again: all songs with the other setting.

    Returns:
        Mean over the stems, in dB; NaN if no song has one.
    """
    paths = {song.path for song in songs}
    gains_db = []
    for stem in stems:
        before = audible(songs, stem)
        after = [song for song in audible(again, stem) if song.path in paths]
        scores = zip(
            stem_scores_db(fitted, after, stem), stem_scores_db(fitted, before, stem), strict=True
        )
        if before:
            gains_db.append(mean_of(before, [new - old for new, old in scores]))
    return float(np.mean(gains_db)) if gains_db else math.nan


def shown(setting: Setting) -> str:
    """The fields of a setting that differ from the defaults."""
    usual = dataclasses.asdict(Setting())
    fields = dataclasses.asdict(setting)
    del fields["gain_db"]
    return ", ".join(f"{name} = {value}" for name, value in fields.items() if value != usual[name])


def unfitted(recipe: Recipe) -> Recipe:
    """The recipe without its fitted tables."""
    return dataclasses.replace(recipe, blends=(), consistency={}, gates={})
