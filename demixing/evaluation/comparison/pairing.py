"""The songs that all systems have, in arrays.

Scores can be subtracted only if they are of the same songs, stems and metric. So it is an error if
the references of a song differ: in length, rate, channels, silence, or in the level of an active
stem. Levels of nearly silent stems are not compared, because rounding to 16 bits changes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demixing.errors import EvaluationError
from demixing.evaluation.comparison.scores import Reference, System

SAME_LEVEL_DB = 0.01
"""Levels of one reference may differ by this much: formats round, and a wrong file is far off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Scores of several systems on the same songs.

    Attributes:
        systems: at least two; the others are compared with the first.
        songs: names of the common songs, sorted.
        artists: of these songs; songs without a known one share an empty name.
        scores: ``(systems, songs, stems)``; NaN where there is none.
        active: whether a score counts in means and tests, ``(songs, stems)``: its reference is
            active, and all systems have a score.
        quiet: the same for silent and nearly silent references.
        left_out: songs that some systems lack, with the numbers of those that have them.
        undefined: number of active references without a score in at least one system.
    """

    systems: Sequence[System]
    songs: Sequence[str]
    artists: Sequence[str]
    scores: NDArray[np.float64]
    active: NDArray[np.bool_]
    quiet: NDArray[np.bool_]
    left_out: Mapping[str, Sequence[int]]
    undefined: int

    @property
    def stems(self) -> tuple[str, ...]:
        """Stems of the track."""
        return self.systems[0].stems


def pair(systems: Sequence[System]) -> Paired:
    """Pair the scores of systems.

    Args:
        systems: at least two.

    Raises:
        EvaluationError: they cannot be compared.
    """
    if len(systems) < 2:
        raise EvaluationError(
            f"expected two systems or more to compare, got {len(systems)}; name another one"
        )
    _check_kind(systems)
    names = sorted(set.intersection(*(set(system.songs) for system in systems)))
    if not names:
        raise EvaluationError(_nothing_in_common(systems))
    for name in names:
        for other in systems[1:]:
            _check_references(name, systems[0], other)
    scores = np.array(
        [[_row(system, name) for name in names] for system in systems], dtype=np.float64
    )
    stems = systems[0].stems
    quiet = np.array([[_is_quiet(systems, name, stem) for stem in stems] for name in names])
    known = np.array([[_is_known(systems, name, stem) for stem in stems] for name in names])
    defined = ~np.isnan(scores).any(axis=0)
    everything = sorted({name for system in systems for name in system.songs})
    return Paired(
        systems=systems,
        songs=names,
        artists=[_artist(systems, name) for name in names],
        scores=scores,
        active=~quiet & defined,
        quiet=quiet & defined,
        left_out={
            name: [number for number, system in enumerate(systems) if name in system.songs]
            for name in everything
            if name not in names
        },
        undefined=int((~quiet & known & ~defined).sum()),
    )


def _row(system: System, name: str) -> list[float]:
    """The scores of a song; NaN where there is none."""
    scores = [system.songs[name].stems[stem] for stem in system.stems]
    return [np.nan if score is None else score for score in scores]


def _is_quiet(systems: Sequence[System], name: str, stem: str) -> bool:
    """Whether the reference of a stem is silent or nearly silent."""
    return any(system.songs[name].reference.is_quiet(stem) for system in systems)


def _is_known(systems: Sequence[System], name: str, stem: str) -> bool:
    """Whether all systems know the reference of a stem."""
    return all(stem in system.songs[name].reference.levels_dbfs for system in systems)


def _artist(systems: Sequence[System], name: str) -> str:
    """The artist of a song; empty if no system knows it."""
    known = (system.songs[name].reference.artist for system in systems)
    return next((artist for artist in known if artist is not None), "")


def _check_kind(systems: Sequence[System]) -> None:
    """Raise unless all systems are of one track and scored by one metric.

    Raises:
        EvaluationError: they are not.
    """
    first = systems[0]
    for other in systems[1:]:
        if other.track != first.track:
            raise EvaluationError(
                f"expected systems of one track, but {first.name!r} is of {first.track} and "
                f"{other.name!r} of {other.track}; compare them separately"
            )
        if not other.metric.same_as(first.metric):
            raise EvaluationError(
                f"expected scores of one metric, but {first.name!r} has {_metric(first)} and "
                f"{other.name!r} has {_metric(other)}; evaluate both with one version"
            )


def _metric(system: System) -> str:
    """The metric of a system, for a message."""
    return repr(system.metric.id or system.metric.definition)


def _nothing_in_common(systems: Sequence[System]) -> str:
    """The sentence if no song has scores of all systems."""
    had = " and ".join(
        f"{len(system.songs)} others, such as {min(system.songs)!r}, in {system.name!r}"
        if system.songs
        else f"none in {system.name!r}"
        for system in systems
    )
    return f"expected songs that all systems have, found none, but {had}; evaluate the same songs"


def _check_references(name: str, first: System, other: System) -> None:
    """Raise unless two systems were scored with the same references of a song.

    Raises:
        EvaluationError: they were not.
    """
    found = change(first.songs[name].reference, other.songs[name].reference)
    if found:
        raise EvaluationError(
            f"expected the same references of song {name!r} in {first.name!r} and "
            f"{other.name!r}, but {found}; score both with the same files"
        )


def change(one: Reference, other: Reference) -> str:
    """What differs between two references of a song, in words; empty if nothing does."""
    if (one.sample_rate_hz, one.channels) != (other.sample_rate_hz, other.channels):
        return (
            f"one has {one.sample_rate_hz} Hz and {one.channels} channels, the other "
            f"{other.sample_rate_hz} Hz and {other.channels}"
        )
    if one.samples != other.samples:
        return (
            f"one has {one.samples} samples ({one.seconds:.1f} s), the other "
            f"{other.samples} ({other.seconds:.1f} s)"
        )
    for stem in (stem for stem in one.levels_dbfs if stem in other.levels_dbfs):
        if one.is_quiet(stem) and other.is_quiet(stem):
            continue
        if _apart(one.levels_dbfs[stem], other.levels_dbfs[stem]):
            return f"{stem} is {_level(one, stem)} in one and {_level(other, stem)} in the other"
    return ""


def _level(reference: Reference, stem: str) -> str:
    """The level of a stem in words."""
    level_dbfs = reference.levels_dbfs[stem]
    return "silent" if level_dbfs is None else f"at {level_dbfs:.2f} dBFS"


def _apart(one: float | None, other: float | None) -> bool:
    """Whether two levels are of different audio."""
    return one is None or other is None or abs(one - other) > SAME_LEVEL_DB
