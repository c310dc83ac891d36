"""The two kinds of pages: of runs, and of songs without references."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from demixing.evaluation.song_files import normal
from demixing.report import evaluated, runs, separated, tables, writing
from demixing.report.evaluated import Put
from demixing.report.measuring import Plain
from demixing.report.opus import KBIT_S
from demixing.report.page import Contents
from demixing.report.runs import Run
from demixing.report.separated import Separation
from demixing.report.tables import Table

Progress = Callable[[int, int, str], None]
"""Called before each song with the number of songs done, the total number, and the name."""


def of_runs(
    folders: Sequence[Path],
    target: Path,
    *,
    place: str = writing.AUTO,
    kbit_s: int = KBIT_S,
    progress: Progress | None = None,
) -> None:
    """Write the page of runs; several of one track are compared.

    Args:
        folders: that ``demixing evaluate`` left: OUTPUT/mdx, OUTPUT/cdx, or OUTPUT.
        target: of the page.
        place: one of :data:`demixing.report.writing.PLACES`.
        kbit_s: bit rate of the sound, in stereo.
        progress: called before each song.

    Raises:
        EvaluationError: a folder is no finished run, or something cannot be read or written.
    """
    groups = runs.by_track(runs.read(folders))
    jobs = [(name, group) for group in groups.values() for name in runs.common(group)]
    seconds = sum(evaluated.seconds_of_sound(group) for group in groups.values())

    def contents(put: Put) -> Contents:
        songs: list[Plain] = []
        for number, (name, group) in enumerate(jobs):
            if progress is not None:
                progress(number, len(jobs), name)
            songs.append(evaluated.song(number, name, group, kbit_s, put))
        official, further = _tables(groups, jobs)
        return Contents(
            title="Listening report",
            systems={track: runs.labels(group) for track, group in groups.items()},
            songs=songs,
            tables=official,
            further=further,
        )

    writing.write(target, contents, apart=writing.beside(place, seconds, kbit_s))


def _tables(
    groups: Mapping[str, Sequence[Run]], jobs: Sequence[tuple[str, Sequence[Run]]]
) -> tuple[list[Table], list[Table]]:
    """The tables of all tracks, official and further ones.

    Args:
        groups: runs by track.
        jobs: name and runs of each song, in the order of the page.
    """
    official, further = [], []
    for group in groups.values():
        # By track: both may have a song of one name.
        numbers = {normal(name): at for at, (name, of) in enumerate(jobs) if of is group}
        official.append(tables.official(group, numbers))
        further += tables.further(group, numbers)
    return official, further


def of_separations(
    songs: Sequence[Separation],
    recipe: str,
    target: Path,
    *,
    place: str = writing.AUTO,
    kbit_s: int = KBIT_S,
) -> None:
    """Write the page of separated songs without references.

    Args:
        songs: at least one.
        recipe: that separated them.
        target: of the page.
        place: one of :data:`demixing.report.writing.PLACES`.
        kbit_s: bit rate of the sound, in stereo.

    Raises:
        EvaluationError: something cannot be written.
        DemixError: a song cannot be read.
    """
    seconds = sum(map(separated.seconds_of_sound, songs))

    def contents(put: Put) -> Contents:
        return Contents(
            title="Separated songs",
            systems={"": [recipe]},
            songs=[separated.song(number, one, kbit_s, put) for number, one in enumerate(songs)],
            separated=True,
        )

    writing.write(target, contents, apart=writing.beside(place, seconds, kbit_s))
