"""Fit a recipe's blends, shares and gates to songs whose stems are known, and say what it gains.

    python -m training fit RECIPE --data DIR... [--cache DIR] [-o FILE]

For each stem and each set of members that may answer for it, weights are solved for in closed
form; their scores are those of songs that were left out, each in its turn. Members that hear the
mixture minus a blend are asked again with the fitted blend. Last, each further setting of a member
is compared with its first: write that gain into the recipe, as ``gain_db``.
"""

import argparse
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evaluator.songs import Song, find_songs
from my_submission import recipe as recipes
from my_submission.blend import Blend, subsets
from my_submission.demixer import Demixer
from my_submission.errors import ConfigError, OutputError
from my_submission.recipe import Recipe, Setting
from training import gates, shares
from training.blending import Method, fit, left_out_db, mean_db, plain_mean, sdr_db
from training.moments import MIXTURE, Moments, answer, of_song, shares_of

MARK = "# Fitted by `python -m training fit`; what follows is written anew each time."
LEAST = 3
"""Songs with a stem, below which nothing is fitted for it."""
MOST_GIVERS = 6
"""Members for one stem, above which their subsets are too many to list."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("recipe", help="a name from `python -m my_submission list`, or a TOML file")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders of songs"
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep what is measured of songs")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write the recipe with its new tables"
    )
    parser.add_argument(
        "--ridge", type=float, help="towards the plain mean (default: what serves best)"
    )
    parser.add_argument(
        "--silent", type=float, default=0.02, help="part of all songs in which a stem is silent"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=2,
        help="how often members that hear the mixture minus a blend are asked (default: 2)",
    )
    parser.add_argument("--non-negative", action="store_true", help="no weight below zero")
    parser.add_argument("--no-mixture", action="store_true", help="no weight for the mixture")


def run(options: argparse.Namespace) -> list[str]:
    """Fit, write the recipe if asked to, and return the lines of the report.

    Raises:
        ConfigError: the recipe or an option is wrong.
        OutputError: the recipe cannot be written.
    """
    if options.ridge is not None and not 0 <= options.ridge < math.inf:
        raise ConfigError(f"expected --ridge to be 0 or above, got {options.ridge}")
    if not 0 < options.silent < 1:
        raise ConfigError(f"expected --silent to be between 0 and 1, got {options.silent}")
    method = Method(
        ridges=Method().ridges if options.ridge is None else (options.ridge,),
        mixture=not options.no_mixture,
        non_negative=options.non_negative,
    )
    given = recipes.load(options.recipe).required()  # blends with optional members need them, too
    plain = with_settings(unfitted(given), [0] * len(given.members))
    known = [song for folder in options.data for song in find_songs(folder, plain.track.name)]
    fitted = plain
    # Who hears the mixture minus a stem hears it minus the blend: once more with that fitted.
    rounds = options.rounds if any(member.minus for member in plain.members) else 1
    for _ in range(max(rounds, 1)):
        demixer = Demixer(fitted)
        songs = [of_song(song, demixer, options.cache) for song in known]
        fitted = dataclasses.replace(plain, blends=tuple(blends(plain, songs, method)))
    fitted = dataclasses.replace(fitted, consistency=shares.fit(fitted, songs, signals_of))
    fitted = dataclasses.replace(
        fitted, gates=gates.fit(fitted, songs, shared_signals, options.silent)
    )
    if options.output:
        write(options.output, Path(options.recipe), fitted)
    lines = report(plain, fitted, songs, method)
    return [*lines, *gains(given, fitted, songs, known, options.cache)]


def with_settings(recipe: Recipe, numbers: Sequence[int]) -> Recipe:
    """The recipe with one setting for each member."""
    members = zip(recipe.members, numbers, strict=True)
    return dataclasses.replace(
        recipe,
        members=tuple(
            dataclasses.replace(member, settings=(member.settings[number],))
            for member, number in members
        ),
    )


def gains(
    given: Recipe,
    fitted: Recipe,
    songs: Sequence[Moments],
    known: Sequence[Song],
    cache: Path | None,
) -> list[str]:
    """Say what each further setting of a member gains over its first, in the fitted blend."""
    lines = []
    for index, member in enumerate(given.members):
        for number, setting in enumerate(member.settings[1:], 1):
            numbers = [0] * len(given.members)
            numbers[index] = number
            other = dataclasses.replace(fitted, members=with_settings(given, numbers).members)
            demixer = Demixer(other)
            again = [of_song(song, demixer, cache) for song in known]
            gain_db = np.mean(
                [
                    mean_db(audible(again, stem), stem, shared_signals(fitted, stem))
                    - mean_db(audible(songs, stem), stem, shared_signals(fitted, stem))
                    for stem in member.gives
                ]
            )
            lines.append(row(f"gain of {member.name} with {shown(setting)}", float(gain_db)))
    return lines


def shown(setting: Setting) -> str:
    """A setting's fields that are not the usual ones."""
    usual = dataclasses.asdict(Setting())
    fields = dataclasses.asdict(setting)
    del fields["gain_db"]
    return ", ".join(f"{name} = {value}" for name, value in fields.items() if value != usual[name])


def unfitted(recipe: Recipe) -> Recipe:
    """The recipe without all that is fitted."""
    return dataclasses.replace(recipe, blends=(), consistency={}, gates={})


def blends(recipe: Recipe, songs: Sequence[Moments], method: Method) -> list[Blend]:
    """Fit a blend for each stem and each set of members that give it.

    Raises:
        ConfigError: a stem has too many givers, or too few songs have it.
    """
    result = []
    for stem in recipe.track.stems:
        givers = recipe.givers(stem)
        if len(givers) > MOST_GIVERS:
            raise ConfigError(
                f"expected at most {MOST_GIVERS} members to give {stem!r}, got {len(givers)}"
            )
        having = audible(songs, stem)
        if givers and len(having) < LEAST:
            raise ConfigError(
                f"expected at least {LEAST} songs in which {stem!r} is not silent, got "
                f"{len(having)}; name more --data"
            )
        for names in subsets(givers):
            signals = [answer(name, stem) for name in names]
            weights = fit(having, stem, signals, method)
            scores = left_out_db(having, stem, signals, method)
            result.append(as_blend(stem, names, weights, float(shares_of(having) @ scores)))
    return result


def as_blend(
    stem: str, names: Sequence[str], weights: Mapping[str, float], score_db: float | None
) -> Blend:
    """Make a blend of the weights of signals."""
    return Blend(
        stem=stem,
        weights={name: weights[answer(name, stem)] for name in names},
        mixture=weights.get(MIXTURE, 0.0),
        sdr_db=score_db,
    )


def audible(songs: Sequence[Moments], stem: str) -> list[Moments]:
    """Songs in which a stem is not silent."""
    return [song for song in songs if not song.silent(stem)]


def signals_of(recipe: Recipe, stem: str) -> dict[str, float]:
    """What the recipe makes a stem of, as weights of signals, before shares and gates."""
    if stem == recipe.residual:
        result = {MIXTURE: 1.0}
        for other in recipe.track.stems:
            if other != stem:
                for name, weight in signals_of(recipe, other).items():
                    result[name] = result.get(name, 0.0) - weight
        return result
    blend = recipe.blend(stem, recipe.givers(stem))
    signals = {answer(name, stem): weight for name, weight in blend.weights.items()}
    return {**signals, MIXTURE: blend.mixture}


def shared_signals(recipe: Recipe, stem: str) -> dict[str, float]:
    """What the recipe makes a stem of, with its share in what is left of the mixture."""
    return shares.applied(recipe, stem, signals_of)


def report(plain: Recipe, fitted: Recipe, songs: Sequence[Moments], method: Method) -> list[str]:
    """Say per stem what single members, their mean and the fitted blends score."""
    lines = [
        f"# recipe {plain.name}, {len(songs)} songs",
        "SDR in dB: global, delta 1e-7, mean over the songs in which the stem is not silent, then",
        "over the folders of data, which count alike;",
        "fitted blends are scored on each song with the weights that the other songs ask for.",
    ]
    for stem in plain.track.stems:
        givers = plain.givers(stem)
        having = audible(songs, stem)
        folders = len({song.folder for song in having})
        lines += ["", f"## {stem}, {len(having)} songs in {folders} folders"]
        lines += [row("the mixture itself", mean_db(having, stem, {MIXTURE: 1.0}))]
        if stem == plain.residual:
            before = mean_db(having, stem, signals_of(plain, stem))
            after = mean_db(having, stem, signals_of(fitted, stem))
            lines += [row("the residual, before", before), row("the residual, now", after)]
            continue
        singles = [mean_db(having, stem, {answer(name, stem): 1.0}) for name in givers]
        for name, score in sorted(zip(givers, singles, strict=True), key=lambda pair: -pair[1]):
            lines.append(row(f"{name} alone, as it is", score))
        everyone = [answer(name, stem) for name in givers]
        mean = mean_db(having, stem, plain_mean(everyone))
        if len(givers) > 1:
            lines.append(row("plain mean of all", mean))
        for blend in fitted.blends:
            if blend.stem == stem:
                lines.append(row(f"fitted: {described(blend)}", blend.sdr_db or 0.0))
        scores = left_out_db(having, stem, everyone, method)
        for label, base in (("best single", max(singles)), ("plain mean", mean)):
            lines.append(
                row(
                    f"gain over the {label}, songs left out",
                    float(shares_of(having) @ scores) - base,
                )
            )
        if stem in fitted.consistency:
            lines.append(f"share in what is left of the mixture: {fitted.consistency[stem]:.3f}")
        if stem in fitted.gates:
            lines.append(f"gate: {fitted.gates[stem]}")
    before, now = total_db([plain] * len(songs), songs), total_db([fitted] * len(songs), songs)
    unseen = total_db(left_out(plain, songs, method), songs)
    return [
        *lines,
        "",
        row("mean over stems, not fitted", before),
        row("mean over stems, fitted, on these same songs", now),
        row("mean over stems, fitted, each song left out in its turn", unseen),
        row("gain of fitting on songs left out", unseen - before),
    ]


def left_out(recipe: Recipe, songs: Sequence[Moments], method: Method) -> list[Recipe]:
    """The recipe as it is fitted without each song in its turn; subsets do not matter here."""
    result = []
    for number in range(len(songs)):
        others = [*songs[:number], *songs[number + 1 :]]
        whole = []
        for stem in recipe.track.stems:
            givers = recipe.givers(stem)
            having = audible(others, stem)
            if givers and having:
                weights = fit(having, stem, [answer(name, stem) for name in givers], method)
                whole.append(as_blend(stem, givers, weights, None))
        fitted = dataclasses.replace(recipe, blends=tuple(whole))
        shared = shares.fit(fitted, others, signals_of)
        result.append(dataclasses.replace(fitted, consistency=shared))
    return result


def total_db(fitted: Sequence[Recipe], songs: Sequence[Moments]) -> float:
    """Mean over stems, then over the songs that have them, each song with its own recipe."""
    means = []
    for stem in fitted[0].track.stems:
        pairs = [pair for pair in zip(fitted, songs, strict=True) if not pair[1].silent(stem)]
        scores = [sdr_db(song, stem, shared_signals(recipe, stem)) for recipe, song in pairs]
        means.append(float(shares_of([song for _, song in pairs]) @ scores))
    return float(np.mean(means))


def row(label: str, value_db: float) -> str:
    """One line of the report."""
    return f"{label:<72}{value_db:8.3f}"


def described(blend: Blend) -> str:
    """The weights of a blend, for people."""
    parts = [f"{weight:.3f} {name}" for name, weight in blend.weights.items()]
    return " + ".join([*parts, f"{blend.mixture:.3f} mixture"])


def write(path: Path, source: Path, fitted: Recipe) -> None:
    """Write the recipe's own text and the fitted tables below it.

    Raises:
        OutputError: it cannot be written.
    """
    named = recipes.FOLDER / f"{source}.toml"
    text = (named if named.is_file() else source).read_text(encoding="utf-8")
    own = text.partition(MARK)[0].rstrip("\n")
    try:
        part = path.with_name(f".{path.name}.part")
        part.write_text("\n".join([own, "", MARK, *tables(fitted)]) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def tables(fitted: Recipe) -> list[str]:
    """The fitted part of a recipe, as TOML."""
    lines = []
    for blend in fitted.blends:
        weights = ", ".join(f"{name} = {weight:.4f}" for name, weight in blend.weights.items())
        lines += [
            "",
            "[[blends]]",
            f'stem = "{blend.stem}"',
            f"weights = {{ {weights} }}",
            f"mixture = {blend.mixture:.4f}",
            f"sdr_db = {blend.sdr_db:.3f}",
        ]
    if fitted.consistency:
        lines += ["", "[consistency]"]
        lines += [f"{stem} = {share:.3f}" for stem, share in fitted.consistency.items()]
    for stem, gate in fitted.gates.items():
        lines += ["", f"[gates.{stem}]"]
        lines += [f"{name} = {value:.2f}" for name, value in dataclasses.asdict(gate).items()]
    return lines
