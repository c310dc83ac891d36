"""A page about a checked data set: levels, findings, and players of what is suspected.

The page is one file without scripts, and it loads nothing: sounds are in it, and its security
policy forbids everything that is not.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demixing.evaluation.report_files import write_report
from demixing.plots import canvas, check_excerpts
from demixing.plots.check_songs import ACTIVE_DB, BLOCK_S, SongRow, rows, stems_of
from demixing.training.data.check import Report
from demixing.training.data.checks.kinds import KINDS

SUFFIXES = (".html", ".htm")

LOWEST_DBFS, HIGHEST_DBFS = -70, -50
"""Range of the left end of the axis of levels; softer songs are drawn there."""

DOT, STACK = 14, 120
"""Width of 1 dB and of a dot, and largest height of a stack of dots, in units of the drawing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A song in the drawing of one stem's levels.

    Attributes:
        row: index of the song in the page.
        x: position on the axis.
        height: position in its stack, from below.
        text: name and level.
        fault: whether the stem has a fault in this song.
    """

    row: int
    x: float
    height: float
    text: str
    fault: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The levels of one stem in all songs.

    Attributes:
        stem: its name.
        dots: songs in which it is not silent.
        median_dbfs: median of their levels; None if there are none.
        silent: number of songs in which it is silent or unreadable.
        height: of the drawing, without its axis.
    """

    stem: str
    dots: tuple[Dot, ...]
    median_dbfs: float | None
    silent: int
    height: float


def check(path: Path) -> None:
    """Raise if a page clearly cannot be written to ``path``; call it before long work.

    Raises:
        ConfigError: the file has another suffix.
        EvaluationError: its folder does not exist, or it is not a regular file.
        ModuleNotFoundError: jinja2 is not installed.
    """
    canvas.check(path, SUFFIXES, "page")
    import jinja2  # noqa: F401


def write(report: Report, path: Path) -> None:
    """Write the page; it appears whole or not at all.

    Raises:
        EvaluationError: it cannot be written.
    """
    write_report(path, page(report))


def page(report: Report) -> str:
    """The page as HTML; all names are escaped."""
    import jinja2

    songs = rows(report)
    lowest = lowest_dbfs(songs)
    excerpts = check_excerpts.of_songs(songs)
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found = Counter(one.kind for one in report.findings if one.fault)
    noted = Counter(one.kind for one in report.findings if not one.fault)
    return templates.get_template("check_page.html").render(
        folders=report.folders,
        songs=songs,
        stems=stems_of(songs),
        levels=[levels_of(stem, songs, lowest) for stem in stems_of(songs)],
        faults=[(kind, found[kind]) for kind in KINDS if found[kind]],
        notes=[(kind, noted[kind]) for kind in KINDS if noted[kind]],
        kinds=KINDS,
        excerpts=excerpts,
        audible=sum(one.kind in check_excerpts.RULES for one in report.findings),
        played=sum(map(bool, excerpts.values())),
        length_s=check_excerpts.LENGTH_S,
        active_db=ACTIVE_DB,
        block_s=BLOCK_S,
        lowest=lowest,
        dot=DOT,
    )


def lowest_dbfs(songs: Sequence[SongRow]) -> int:
    """Left end of the axis of levels, a multiple of 10."""
    known = [one.rms_dbfs for row in songs for one in row.levels.values()]
    least = min((one for one in known if one is not None), default=0.0)
    return max(LOWEST_DBFS, min(HIGHEST_DBFS, 10 * math.floor(least / 10)))


def levels_of(stem: str, songs: Sequence[SongRow], lowest: int) -> Levels:
    """Stack the songs of one stem over the axis of levels, in steps of 1 dB.

    Args:
        stem: its name.
        songs: of the page, in its order.
        lowest: left end of the axis in dBFS.
    """
    placed: list[tuple[int, int, str, bool]] = []
    known: list[float] = []
    silent = 0
    for index, row in enumerate(songs):
        level = row.levels.get(stem)
        if level is None:
            continue
        if level.rms_dbfs is None:
            silent += 1
            continue
        known.append(level.rms_dbfs)
        step = round(min(max(level.rms_dbfs, lowest), 0)) - lowest
        fault = any(one.stem == stem and one.fault for one in row.findings)
        placed.append((index, step, f"{row.name}: {level.rms_dbfs:.1f} dBFS", fault))
    stacks = Counter(step for _, step, _, _ in placed)
    tallest = max(stacks.values(), default=1)
    rise = min(DOT, STACK / tallest)
    used: Counter[int] = Counter()
    dots = []
    for index, step, text, fault in placed:
        height = (used[step] + 0.5) * rise
        used[step] += 1
        dots.append(Dot(row=index, x=step * DOT, height=height, text=text, fault=fault))
    return Levels(
        stem=stem,
        dots=tuple(dots),
        median_dbfs=statistics.median(known) if known else None,
        silent=silent,
        height=tallest * rise + DOT,
    )
