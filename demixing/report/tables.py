"""The scores of runs as rows for the page: one row for each song and recipe, then the means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from demixing.evaluation.comparison.verdict import plural
from demixing.evaluation.report import (
    ACTIVE_MEAN,
    ACTIVE_MEDIAN,
    ACTIVE_NOTE,
    FOOTNOTES,
    MEAN,
    NEARLY_SILENT,
    OMITTED,
    SILENT,
    heading,
)
from demixing.evaluation.song_files import normal
from demixing.printing import printable
from demixing.report import runs
from demixing.report.runs import Run
from demixing.report.signs import DASH, MINUS

TRACKS = {"mdx": "Music", "cdx": "Film sound"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One score.

    Attributes:
        value: None if it is undefined.
        mark: a footnote's mark.
    """

    value: float | None
    mark: str = ""

    @property
    def text(self) -> str:
        """As it is shown."""
        return DASH if self.value is None else f"{self.value:z.3f}".replace("-", MINUS)


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        name: of the song, or of the mean.
        system: index of the recipe.
        song: number of the song on the page; None for a mean, or a song that is not on it.
        cells: mean and stems.
    """

    name: str
    system: int
    song: int | None
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """The scores of one track by one metric.

    Attributes:
        track: its key.
        title: of the metric.
        definition: of the metric.
        unit: of its values.
        stems: titles of the columns after the mean.
        rows: songs.
        below: means.
        notes: what the marks mean, and what was omitted.
        id: of the definition; empty in files of versions that had none.
        higher_is_better: direction of the metric.
    """

    track: str
    title: str
    definition: str
    unit: str
    stems: Sequence[str]
    rows: Sequence[Row]
    below: Sequence[Row]
    notes: Sequence[str] = field(default=())
    id: str = ""
    higher_is_better: bool = True

    @property
    def described(self) -> str:
        """What follows the title: definition, unit and direction, as in the terminal."""
        return heading(self).removeprefix(self.title)

    @property
    def name(self) -> str:
        """Name of the track."""
        return TRACKS.get(self.track, self.track)


def official(group: Sequence[Run], numbers: Mapping[str, int]) -> Table:
    """The table of the official score.

    Args:
        group: runs of one track.
        numbers: number of each song on the page, by name in normal form.
    """
    metric = group[0].scores["metric"]
    stems = list(group[0].scores["stems_db"])
    rows = [
        Row(printable(song["name"]), system, numbers.get(normal(song["name"])), _cells(song, stems))
        for system, run in enumerate(group)
        for song in run.songs
    ]
    rows.sort(key=lambda row: (row.name, row.system))
    below = [
        Row(name, system, None, [Cell(mean), *(Cell(by_stem[stem]) for stem in stems)])
        for name, figures in _below(group)
        for system, (mean, by_stem) in enumerate(figures)
    ]
    notes = [*_marks(rows), *_omissions(group), *_left_out(group)]
    return Table(
        group[0].track,
        metric["title"],
        metric["definition"],
        "dB",
        stems,
        rows,
        below,
        notes,
        id=str(metric.get("id", "")),
    )


def further(group: Sequence[Run], numbers: Mapping[str, int]) -> list[Table]:
    """The tables of further metrics in scores.json, where there are any."""
    names = dict.fromkeys(name for run in group for name in run.scores.get("metrics", {}))
    return [_further(group, numbers, name) for name in names]


def _further(group: Sequence[Run], numbers: Mapping[str, int], name: str) -> Table:
    """The table of one further metric."""
    found = [run.scores.get("metrics", {}).get(name) for run in group]
    about = next(one for one in found if one)
    stems = list(about["stems"])
    rows = [
        Row(printable(song), system, numbers.get(normal(song)), _plain_cells(scores, stems))
        for system, one in enumerate(found)
        for song, scores in ((one or {}).get("songs") or {}).items()
    ]
    rows.sort(key=lambda row: (row.name, row.system))
    below = [
        Row(MEAN, system, None, _plain_cells(one, stems)) for system, one in enumerate(found) if one
    ]
    unit = str(about.get("unit", "dB"))
    return Table(
        group[0].track,
        about["title"],
        about["definition"],
        unit,
        stems,
        rows,
        below,
        id=str(about.get("id", "")),
        higher_is_better=bool(about.get("higher_is_better", True)),
    )


def _plain_cells(scores: Mapping[str, Any], stems: Sequence[str]) -> list[Cell]:
    by_stem = scores.get("stems") or {}
    return [Cell(scores.get("mean")), *(Cell(by_stem.get(stem)) for stem in stems)]


def _cells(song: Mapping[str, Any], stems: Sequence[str]) -> list[Cell]:
    """The mean and the stems of a song, with marks."""
    mean = Cell(song["mean_db"], OMITTED if song.get("omissions") else "")
    return [mean, *(Cell(song["stems_db"][stem], _mark(song, stem)) for stem in stems)]


def _mark(song: Mapping[str, Any], stem: str) -> str:
    """The mark of a stem's score."""
    if stem in song["silent_references"]:
        return SILENT
    return NEARLY_SILENT if stem in song["nearly_silent_references"] else ""


def _below(group: Sequence[Run]) -> Iterator[tuple[str, list[tuple[Any, Any]]]]:
    """The rows below the songs: mean and stems of each recipe."""
    yield MEAN, [(run.scores["mean_db"], run.scores["stems_db"]) for run in group]
    for name, key in ((ACTIVE_MEAN, "active_mean"), (ACTIVE_MEDIAN, "active_median")):
        yield name, [(run.scores[key]["song_db"], run.scores[key]["stems_db"]) for run in group]


def _marks(rows: Sequence[Row]) -> Iterator[str]:
    """What the marks of a table mean."""
    found = {cell.mark for row in rows for cell in row.cells}
    yield from (f"{mark} {note}" for mark, note in FOOTNOTES.items() if mark in found)
    if found & set(FOOTNOTES):
        yield ACTIVE_NOTE


def _omissions(group: Sequence[Run]) -> Iterator[str]:
    """Songs that were separated without part of a recipe."""
    for run, label in zip(group, runs.labels(group), strict=True):
        for song in run.songs:
            said = "; ".join(map(_omission, song.get("omissions", ())))
            if said:
                yield f"{OMITTED} {printable(song['name'])}, {label}: {printable(said)}"


def _omission(one: Mapping[str, Any]) -> str:
    """One omission in words."""
    who = one["member"] or "every member"
    where = "" if one["part"] >= 1 else f" in {one['part']:.0%} of the song"
    return f"{who} is missing{where}: {one['reason']}"


def _left_out(group: Sequence[Run]) -> Iterator[str]:
    """Songs of one run alone, which cannot be compared."""
    shared = {normal(name) for name in runs.common(group)}
    for run, label in zip(group, runs.labels(group), strict=True):
        alone = sum(normal(song["name"]) not in shared for song in run.songs)
        if alone:
            more = plural(alone, "more song")
            yield f"{label} has {more}, not in all runs, and so without a player"
