"""The two kinds of pages: of runs, and of songs without references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from demixing.evaluation.song_files import normal
from demixing.report import evaluated, runs, separated, tables, writing
from demixing.report.evaluated import Put
from demixing.report.measuring import Plain
from demixing.report.opus import KBIT_S
from demixing.report.page import Contents
from demixing.report.separated import Separation

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
        # A name may be in both tracks.
        numbers = {
            track: {
                normal(name): number
                for number, (name, group) in enumerate(jobs)
                if group[0].track == track
            }
            for track in groups
        }
        return Contents(
            title="Listening report",
            systems={track: runs.labels(group) for track, group in groups.items()},
            songs=songs,
            tables=[tables.official(group, numbers[track]) for track, group in groups.items()],
            further=[
                table
                for track, group in groups.items()
                for table in tables.further(group, numbers[track])
            ],
        )

    writing.write(target, contents, apart=writing.beside(place, seconds, kbit_s))


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
