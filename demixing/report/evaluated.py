"""Songs with references: for each stem the reference, and the estimate and error of each recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from demixing.errors import EvaluationError
from demixing.evaluation.comparison.verdict import label
from demixing.evaluation.song_files import normal
from demixing.evaluation.songs import STEMS
from demixing.printing import printable
from demixing.report import runs, sounds
from demixing.report.measuring import Meter, Part, Plain, Track, chart, measured
from demixing.report.runs import Run
from demixing.report.seconds import Seconds
from demixing.report.sounds import Sound

Put = Callable[[str, Part], None]
"""Stores a part under its name."""


def song(number: int, name: str, group: Sequence[Run], kbit_s: int, put: Put) -> Plain:
    """Measure one song.

    Args:
        number: of the song on the page.
        name: of the song, in all runs.
        group: runs of one track.
        kbit_s: bit rate of the sound.
        put: stores sound and pictures.

    Returns:
        Values for the page.

    Raises:
        EvaluationError: a file is damaged, or another one than when it was scored.
    """
    key = normal(name)
    whole = sounds.of_sides(group[0].references[key].mixture)
    mixture = measured(Track(key="mixture", role="mixture", name="Mixture"), whole, kbit_s)
    put(f"{number}-mixture", {"mixture": mixture.part()})
    views = []
    for place, stem in enumerate(STEMS[group[0].track]):
        view, part = _stem(key, stem, group, kbit_s)
        views.append(view)
        put(f"{number}-{place}", part)
    return {
        "name": printable(name),
        "track": group[0].track,
        "seconds": round(whole.seconds, 6),
        "rate": whole.rate_hz,
        "mixture": mixture.plain(),
        "views": views,
    }


def seconds_of_sound(group: Sequence[Run]) -> float:
    """Length of all tracks of all songs together."""
    tracks = 1 + len(STEMS[group[0].track]) * (1 + 2 * len(group))
    songs = (group[0].system.songs[normal(name)] for name in runs.common(group))
    return tracks * sum(song.reference.seconds for song in songs)


def _stem(key: str, stem: str, group: Sequence[Run], kbit_s: int) -> tuple[Plain, Part]:
    """Measure one stem of a song."""
    reference = sounds.of_file(group[0].references[key].stems[stem])
    estimates = [sounds.of_file(run.estimates[key].stems[stem]) for run in group]
    for run, estimate in zip(group, estimates, strict=True):
        _check_alike(run, key, stem, reference, estimate)
    true = Meter(
        Track(key="reference", role="reference", name="Reference"), reference, kbit_s=kbit_s
    )
    meters = [_meters(system, len(group), reference, kbit_s) for system in range(len(group))]
    seconds = [Seconds(reference.rate_hz) for _ in group]
    opened = [sound.blocks() for sound in (reference, *estimates)]
    for true_block, *blocks in zip(*opened, strict=True):
        true.push(true_block)
        for (estimated, error), second, block in zip(meters, seconds, blocks, strict=True):
            estimated.push(block)
            error.push(true_block - block)
            second.push(true_block, block)
    found = [true.finish(), *(meter.finish() for pair in meters for meter in pair)]
    charts = [
        chart(second.finish(), name, system)
        for system, (second, name) in enumerate(zip(seconds, runs.labels(group), strict=True))
    ]
    view: Plain = {"name": stem, "tracks": [one.plain() for one in found], "charts": charts}
    return view, {one.track.key: one.part() for one in found}


def _meters(system: int, systems: int, like: Sound, kbit_s: int) -> tuple[Meter, Meter]:
    """Meters of the estimate and the error of one recipe."""
    letter = f" {label(system)}" if systems > 1 else ""
    tracks = (
        Track(key=f"{role}-{system}", role=role, name=f"{role.title()}{letter}", system=system)
        for role in ("estimate", "error")
    )
    estimate, error = (Meter(track, like, pictured=True, kbit_s=kbit_s) for track in tracks)
    return estimate, error


def _check_alike(run: Run, song: str, stem: str, reference: Sound, estimate: Sound) -> None:
    """Raise unless an estimate has the format of its reference."""
    wanted, found = (
        f"{one.rate_hz} Hz, {one.channels} channels, {one.samples} samples"
        for one in (reference, estimate)
    )
    if wanted != found:
        raise EvaluationError(
            f"expected {wanted} in the estimate of {stem!r} of song {song!r} in "
            f"{str(run.folder)!r}, found {found}; {runs.REMADE}"
        )
