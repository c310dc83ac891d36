"""A summary -> a table for people, CSV for spreadsheets; JSON is in ``report_json``.

All sort the songs by name, and have the stems in the leaderboard's order. Song names are names of
folders, so they may contain anything.
"""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from demixing.evaluation.metrics import OFFICIAL, Metric
from demixing.evaluation.scoring import NEARLY_SILENT_DBFS, SongScore
from demixing.evaluation.summary import Averages, MetricSummary, Summary
from demixing.printing import aligned, printable

MEAN = "MEAN"
ACTIVE_MEAN = "MEAN, active"
ACTIVE_MEDIAN = "MEDIAN, active"
"""Rows below the songs; the first is the leaderboard's."""

SILENT = "*"
NEARLY_SILENT = "~"
FOOTNOTES = {
    SILENT: "silent reference: any sound in the estimate costs tens of dB",
    NEARLY_SILENT: f"nearly silent reference, RMS below {NEARLY_SILENT_DBFS:g} dBFS: "
    "any leakage into its estimate costs tens of dB",
}
ACTIVE_NOTE = f"active: without the scores marked {SILENT} or {NEARLY_SILENT}"
UNDEFINED_NOTE = "-: undefined or infinite, and left out of the means"
OMITTED = "!"
"""Marks the mean of a song that was separated without part of the recipe."""


def text_table(
    summary: Summary, metric: Metric, omissions: Mapping[str, Sequence[str]] | None = None
) -> str:
    """Format scores as a table, one line per song.

    Args:
        summary: the scores.
        metric: which of the summary's metrics to print.
        omissions: members missing from each song, each in a few words.

    Returns:
        Lines that end with a newline: metric, column titles, songs, means, footnotes.
    """
    stems = list(summary.stems_db)
    affected = {name: omitted for name, omitted in (omissions or {}).items() if omitted}
    values = _values(summary, metric)
    rows = [["song", "mean", *stems]]
    for song in summary.songs:
        own = values.songs[song.name]
        mean = _cell(own.mean, OMITTED if song.name in affected else " ")
        cells = [_cell(own.stems[stem], _mark(song, stem)) for stem in stems]
        rows.append([printable(song.name), mean, *cells])
    for name, row in _below(values).items():
        numbers = [row.mean, *(row.stems[stem] for stem in stems)]
        rows.append([name, *(_cell(number) for number in numbers)])

    # Every number has room for a mark after it, so titles and unmarked numbers get a space.
    rows[0][1:] = [f"{title} " for title in rows[0][1:]]
    lines = [heading(metric), *aligned(rows), *_footnotes(summary, metric, values)]
    lines += _omitted(affected, len(summary.songs))
    return "".join(f"{line}\n" for line in lines)


class Described(Protocol):
    """What a heading says of a metric; the id is empty in files of versions that had none."""

    @property
    def id(self) -> str:
        """Name of the definition."""

    @property
    def title(self) -> str:
        """Name in a table."""

    @property
    def definition(self) -> str:
        """The definition in a few words."""

    @property
    def unit(self) -> str:
        """Of its values; empty if they have none."""

    @property
    def higher_is_better(self) -> bool:
        """Its direction."""


def heading(metric: Described) -> str:
    """The first line of a table: what its numbers are.

    >>> from demixing.evaluation import metrics
    >>> print(heading(metrics.load("sdr")))
    SDR (sdr-mdx23: MDX'23/CDX'23 global SDR, delta 1e-7), dB
    """
    unit = f", {metric.unit}" if metric.unit else ""
    direction = "" if metric.higher_is_better else ", lower is better"
    name = f"{metric.id}: " if metric.id else ""
    return f"{metric.title} ({name}{metric.definition}){unit}{direction}"


def _values(summary: Summary, metric: Metric) -> MetricSummary:
    """The values of one metric, also of the official one."""
    if metric.name != OFFICIAL:
        return summary.further[metric.name]
    return MetricSummary(
        songs={song.name: Averages(song.mean_db, song.stems_db) for song in summary.songs},
        all=Averages(summary.mean_db, summary.stems_db),
        active_mean=Averages(summary.active_mean.song_db, summary.active_mean.stems_db),
        active_median=Averages(summary.active_median.song_db, summary.active_median.stems_db),
    )


def _below(values: MetricSummary) -> dict[str, Averages]:
    """The rows below the songs, by name."""
    return {
        MEAN: values.all,
        ACTIVE_MEAN: values.active_mean,
        ACTIVE_MEDIAN: values.active_median,
    }


def _mark(song: SongScore, stem: str) -> str:
    """The mark after the score of a stem; a space if its reference is active."""
    if stem in song.silent:
        return SILENT
    return NEARLY_SILENT if stem in song.nearly_silent else " "


def _footnotes(summary: Summary, metric: Metric, values: MetricSummary) -> Iterator[str]:
    """Explain the marks in the table, and values that are missing from it."""
    marks = {_mark(song, stem) for song in summary.songs for stem in summary.stems_db}
    official = metric.name == OFFICIAL
    notes = [
        f"{mark} {note if official else note.partition(':')[0]}"
        for mark, note in FOOTNOTES.items()
        if mark in marks
    ]
    yield from notes
    if notes:
        yield ACTIVE_NOTE
    if any(value is None for own in values.songs.values() for value in own.stems.values()):
        yield UNDEFINED_NOTE


def _omitted(affected: Mapping[str, Sequence[str]], songs: int) -> Iterator[str]:
    """Lines about songs that were separated without a member.

    Args:
        affected: what is missing, by song.
        songs: total number of songs.
    """
    for name, omitted in sorted(affected.items()):
        yield f"{OMITTED} {printable(name)}: {printable('; '.join(omitted))}"
    if affected:
        were = "was" if len(affected) == 1 else "were"
        yield f"{len(affected)} of {songs} songs {were} separated without part of the recipe"


def csv_report(
    summary: Summary,
    metrics: Sequence[Metric],
    omissions: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """A row per metric and song, and the means below, in the format of RFC 4180.

    After the values come the stems whose reference is silent or nearly silent, separated by spaces,
    and the level of each reference in dBFS, which is empty for silence. The last column has the id
    of the metric.

    Args:
        summary: the scores.
        metrics: which of them to write.
        omissions: members missing from each song, each in a few words; None if that is not known,
            which leaves the column out.
    """
    stems = list(summary.stems_db)
    header = ["song", "mean", *stems, "silent", "nearly_silent"]
    header += [f"{stem}_dbfs" for stem in stems]
    header += [*([] if omissions is None else ["omissions"]), "metric"]
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(header)
    for metric in metrics:
        for cells in _csv_rows(summary, _values(summary, metric), omissions):
            padding = [""] * (len(header) - 1 - len(cells))
            rows.writerow([*cells, *padding, metric.id])
    return text.getvalue()


def _csv_rows(
    summary: Summary, values: MetricSummary, omissions: Mapping[str, Sequence[str]] | None
) -> Iterator[list[str]]:
    """Rows of one metric, without the columns that are empty at their end.

    Args:
        summary: the scores.
        values: of the metric.
        omissions: as for :func:`csv_report`.
    """
    stems = list(summary.stems_db)
    for song in summary.songs:
        own = values.songs[song.name]
        cells = [song.name, *_decimals([own.mean, *(own.stems[stem] for stem in stems)])]
        cells += [" ".join(song.silent), " ".join(song.nearly_silent)]
        cells += _decimals(song.levels_dbfs[stem] for stem in stems)
        cells += [] if omissions is None else ["; ".join(omissions.get(song.name, ()))]
        yield cells
    for name, row in _below(values).items():
        yield [name, *_decimals([row.mean, *(row.stems[stem] for stem in stems)])]


def _cell(value: float | None, mark: str = " ") -> str:
    """A value in the table, followed by a mark."""
    return f"{'-' if value is None else f'{value:z.3f}'}{mark}"


def _decimals(numbers: Iterable[float | None]) -> list[str]:
    """Numbers for the CSV; empty if there is none, or it is infinite."""
    return ["" if number is None or math.isinf(number) else f"{number:z.6f}" for number in numbers]
