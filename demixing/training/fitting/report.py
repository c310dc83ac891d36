"""The report of a fit: scores of members, of their mean and of the recipe, and gains of leaks."""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from demixing.ensemble.blend import Blend
from demixing.recipes.recipe import Recipe
from demixing.training.fitting import consistency
from demixing.training.fitting.blending import mean_db, mean_of, plain_mean, sdr_db
from demixing.training.fitting.estimates import disputes_of, estimates
from demixing.training.fitting.fits import Fits
from demixing.training.fitting.groups import folds_of
from demixing.training.fitting.song_gram import MIXTURE, SongGram, audible, signal_name, unseen

MOST_DISPUTED = 3
"""Number of songs that are listed even if the member is trusted there, for comparison."""


def report(plain: Recipe, fitted: Recipe, songs: Sequence[SongGram], fits: Fits) -> list[str]:
    """List the gains of fitting, for each stem and for the whole recipe.

    Args:
        plain: the recipe before fitting.
        fitted: the recipe after fitting.
        songs: all songs.
        fits: fits of ``plain``.
    """
    by = "artists" if songs[0].artist else "folders"
    others = "artists" if songs[0].artist else "songs"
    members = [member.name for member in plain.members]
    fair = unseen(songs, members)
    lines = [
        f"# recipe {plain.name}, {len(songs)} songs",
        "SDR in dB: global, delta 1e-7, mean over the songs in which the stem is not silent, then",
        f"over the {by}, with equal weight;",
        f"fitted weights are scored on each song as fitted to the other {others}.",
    ]
    seen = Counter(name for song in songs for name in sorted(song.seen_by))
    lines += [
        f"{name} was trained on {n} of the songs: not judged there" for name, n in seen.items()
    ]
    for stem in plain.track.stems:
        having = audible(songs, stem)
        groups = len({song.group for song in having})
        lines += ["", f"## {stem}, {len(having)} songs of {groups} {by}"]
        lines += [row("the mixture itself", mean_db(having, stem, {MIXTURE: 1.0}))]
        if stem == plain.residual:
            for label, recipe in (("before", plain), ("now", fitted)):
                scores = stem_scores_db(recipe, unseen(having, members), stem)
                lines.append(
                    row(f"the residual, {label}", mean_of(unseen(having, members), scores))
                )
            continue
        lines += _of_stem(plain, fitted, fits, stem)
    lines += ["", *_of_recipe(plain, fitted, fair, fits)]
    return [*lines, *leak_gains(fitted, fair), *disputes(fitted, songs)]


def _of_stem(plain: Recipe, fitted: Recipe, fits: Fits, stem: str) -> list[str]:
    """Scores of members and of fitted weights for one stem."""
    lines = []
    givers = plain.members_for(stem)
    signals = [signal_name(name, stem) for name in givers]
    having = fits.songs(stem, givers)
    judged = {name: fits.songs(stem, [name]) for name in givers}
    singles = {name: mean_db(judged[name], stem, {signal_name(name, stem): 1.0}) for name in givers}
    for name, score in sorted(singles.items(), key=lambda pair: -pair[1]):
        part = len(judged[name])
        where = f", {part} songs" if part < len(fits.songs(stem)) else ""
        lines.append(row(f"{name} alone, as it is{where}", score))
    mean = mean_db(having, stem, plain_mean(signals))
    if len(givers) > 1:
        lines.append(row("plain mean of all", mean))
    lines += [
        row(f"fitted: {described(blend)}", blend.sdr_db or 0.0)
        for blend in fitted.blends
        if blend.stem == stem
    ]
    best = max(mean_db(having, stem, {one: 1.0}) for one in signals)
    left_out = mean_of(having, list(fits.scores_db(stem, givers).values()))
    for label, base in (("best single", best), ("plain mean", mean)):
        lines.append(row(f"gain over the {label}, songs left out", left_out - base))
    if stem in fitted.consistency:
        lines.append(f"share in the mixture consistency: {fitted.consistency[stem]:.3f}")
    if stem in fitted.gates:
        lines.append(f"gate: {fitted.gates[stem]}")
    return lines


def _of_recipe(plain: Recipe, fitted: Recipe, songs: Sequence[SongGram], fits: Fits) -> list[str]:
    """Scores of the whole recipe on songs that no member was trained on."""
    before, now = (total_db(dict.fromkeys(folds_of(songs), one), songs) for one in (plain, fitted))
    new = total_db(left_out(plain, songs, fits), songs)
    return [
        row("mean over stems, not fitted", before),
        row("mean over stems, fitted, on these same songs", now),
        row(f"mean over stems, fitted, with {_each(songs)} left out in turn", new),
        row("gain of fitting on songs left out", new - before),
    ]


def _each(songs: Sequence[SongGram]) -> str:
    return "each artist" if songs and songs[0].artist else "each song"


def left_out(recipe: Recipe, songs: Sequence[SongGram], fits: Fits) -> dict[str, Recipe]:
    """The recipe fitted without each fold, by fold; only the sets of members that are needed."""
    result = {}
    shared = unseen(fits.all_songs, recipe.undoubted)
    for fold in folds_of(songs):
        fitted = dataclasses.replace(recipe, blends=tuple(fits.whole(fold)))
        others = [song for song in shared if song.fold != fold]
        result[fold] = dataclasses.replace(fitted, consistency=consistency.fit(fitted, others))
    return result


def stem_scores_db(recipe: Recipe, songs: Sequence[SongGram], stem: str) -> list[float]:
    """SDR in dB of a stem of the whole recipe in each song."""
    return [sdr_db(song, stem, estimates(recipe, song)[stem]) for song in songs]


def total_db(fitted: Mapping[str, Recipe], songs: Sequence[SongGram]) -> float:
    """Mean SDR in dB over stems of the mean over songs that have them.

    Args:
        fitted: the recipe for the songs of each fold.
        songs: songs on which no member was trained.

    Returns:
        NaN if no song has a stem.
    """
    made = {song.path: estimates(fitted[song.fold], song) for song in songs}
    means = []
    for stem in next(iter(fitted.values())).track.stems if fitted else ():
        having = audible(songs, stem)
        if having:
            scores = [sdr_db(song, stem, made[song.path][stem]) for song in having]
            means.append(mean_of(having, scores))
    return float(np.mean(means)) if means else math.nan


def leak_gains(fitted: Recipe, songs: Sequence[SongGram]) -> list[str]:
    """Mean gain over stems of each leak of the recipe: with it minus without it."""
    lines = []
    folds = folds_of(songs)
    whole = total_db(dict.fromkeys(folds, fitted), songs)
    for leak in fitted.leaks:
        others = tuple(other for other in fitted.leaks if other is not leak)
        without = dataclasses.replace(fitted, leaks=others)
        gain = whole - total_db(dict.fromkeys(folds, without), songs)
        lines.append(row(f"gain of the leak {leak.of} -> {leak.into}", gain))
    return lines


def disputes(fitted: Recipe, songs: Sequence[SongGram]) -> list[str]:
    """For each member with a doubt, songs that it disputes most, or where its trust is below 1."""
    lines = []
    for member in fitted.members:
        if member.doubt is None:
            continue
        judged = unseen(songs, [member.name])
        parts = {song.song: disputes_of(fitted, song)[member.name] for song in judged}
        ranked = sorted(parts.items(), key=lambda pair: -pair[1])
        for number, (song, part) in enumerate(ranked):
            trust = member.doubt.trust(part)
            if number < MOST_DISPUTED or trust < 1:
                label = f"{member.name}, trusted to {trust:.3f}: part disputed in {song}"
                lines.append(row(label, part))
    return lines


def row(label: str, value: float) -> str:
    """One line of the report."""
    return f"{label:<72}{value:8.3f}"


def described(blend: Blend) -> str:
    """Ensemble weights in words."""
    parts = [f"{weight:z.3f} {name}" for name, weight in blend.weights.items()]
    return " + ".join([*parts, f"{blend.mixture:z.3f} mixture"])
