"""Scores as an HTML table, for notebooks: no script, no style but alignment, names escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from demixing.evaluation import metrics
from demixing.evaluation.scoring import NEARLY_SILENT_DBFS, SongScore

ACTIVE = (
    "active: without silent and nearly silent references "
    f"(RMS below {NEARLY_SILENT_DBFS:g} dBFS), where any sound costs tens of dB"
)


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    notes: Iterable[str] = (),
) -> str:
    """Format cells as a table whose first column has the names of the rows.

    Args:
        caption: what the table shows.
        head: titles of the columns.
        rows: cells as text.
        notes: lines below the table.
    """
    titles = "".join(f'<th scope="col">{html.escape(title)}</th>' for title in head)
    body = "".join(_row(cells) for cells in rows)
    below = "".join(f"<div>{html.escape(note)}</div>" for note in notes)
    return (
        f'<div><table><caption style="text-align:left">{html.escape(caption)}</caption>'
        f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>{below}</div>"
    )


def _row(cells: Sequence[str]) -> str:
    """A name, and numbers that are aligned to the right."""
    name = f'<th scope="row" style="text-align:left">{html.escape(cells[0])}</th>'
    numbers = (f'<td style="text-align:right">{html.escape(cell)}</td>' for cell in cells[1:])
    return f"<tr>{name}{''.join(numbers)}</tr>"


def of_summary(summary: Any) -> str:
    """The table of a summary: a row per song, the means below, and notes on silent references.

    Args:
        summary: a :class:`demixing.evaluation.summary.Summary`, whose module imports this one.
    """
    stems = list(summary.stems_db)
    rows = [
        [song.name, _number(song.mean_db), *(_cell(song, stem) for stem in stems)]
        for song in summary.songs
    ]
    rows.append(["mean", *map(_number, [summary.mean_db, *summary.stems_db.values()])])
    below = {"mean, active": summary.active_mean, "median, active": summary.active_median}
    for name, figures in below.items():
        rows.append([name, *map(_number, [figures.song_db, *figures.stems_db.values()])])
    quiet = any(song.silent or song.nearly_silent for song in summary.songs)
    songs = len(summary.songs)
    metric = metrics.load(metrics.OFFICIAL)
    return table(
        f"{metric.title} ({metric.id}) in {metric.unit} "
        f"of {songs} song{'' if songs == 1 else 's'}, track {summary.track}",
        ["song", "mean", *stems],
        rows,
        [ACTIVE] if quiet else [],
    )


def _cell(song: SongScore, stem: str) -> str:
    """The score of a stem, with a word if its reference is silent."""
    word = " silent" if stem in song.silent else ""
    word = " nearly silent" if stem in song.nearly_silent else word
    return _number(song.stems_db[stem]) + word


def _number(score_db: float | None) -> str:
    """A score, or a dash where there is none."""
    return "-" if score_db is None else f"{score_db:z.3f}"
