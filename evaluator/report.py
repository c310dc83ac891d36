"""A summary -> a table for people, JSON for programs, CSV for spreadsheets.

All three have the songs in the order of their names and the stems in the board's. Names of
songs come from names of folders and are never trusted.
"""

import csv
import io
import json
import os
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from evaluator.errors import EvaluationError
from evaluator.metrics import Metric
from evaluator.summary import Summary

SILENT = "*"
FOOTNOTE = f"{SILENT} silent reference: any sound in the estimate costs tens of dB"


def text_table(summary: Summary, metric: Metric) -> str:
    """Lay scores out in columns, one line per song.

    Args:
        summary: what to show.
        metric: what the scores are.

    Returns:
        Lines, each ended: the metric, the columns' names, the songs, the mean.
    """
    stems = list(summary.stems_db)
    rows = [["song", "mean", *stems]]
    for song in summary.songs:
        cells = [_cell(song.stems_db[stem], silent=stem in song.silent) for stem in stems]
        rows.append([printable(song.name), _cell(song.mean_db), *cells])
    means_db = [summary.mean_db, *summary.stems_db.values()]
    rows.append(["MEAN", *(_cell(mean_db) for mean_db in means_db)])

    # The room of the mark behind a number stays empty above and below it.
    rows[0][1:] = [f"{title} " for title in rows[0][1:]]
    widths = [max(columns(cell) for cell in cells) for cells in zip(*rows, strict=True)]
    lines = [f"{metric.title} ({metric.definition}), dB"]
    for row in rows:
        song_cell = row[0] + " " * (widths[0] - columns(row[0]))
        numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([song_cell, *numbers]).rstrip())
    if any(song.silent for song in summary.songs):
        lines.append(FOOTNOTE)
    return "".join(f"{line}\n" for line in lines)


def json_report(summary: Summary, metric: Metric) -> str:
    """Everything that is known, as one JSON object.

    Args:
        summary: what to write.
        metric: what the scores are.
    """
    report = {
        "metric": {
            "name": metric.name,
            "title": metric.title,
            "definition": metric.definition,
        },
        "track": summary.track,
        "mean_db": summary.mean_db,
        "stems_db": dict(summary.stems_db),
        "songs": [
            {
                "name": song.name,
                "mean_db": song.mean_db,
                "stems_db": dict(song.stems_db),
                "silent_references": list(song.silent),
                "sample_rate_hz": song.layout.sample_rate_hz,
                "channels": song.layout.channels,
                "samples": song.layout.samples,
            }
            for song in summary.songs
        ],
    }
    return json.dumps(report, indent=2, allow_nan=False) + "\n"


def csv_report(summary: Summary) -> str:
    """A row per song and a last one for the mean, quoted and ended as RFC 4180 says.

    Args:
        summary: what to write.
    """
    stems = list(summary.stems_db)
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["song", "mean", *stems])
    for song in summary.songs:
        rows.writerow([song.name, *_six_decimals(song.mean_db, song.stems_db, stems)])
    rows.writerow(["MEAN", *_six_decimals(summary.mean_db, summary.stems_db, stems)])
    return text.getvalue()


def check_writable(path: Path) -> None:
    """Raise unless a report can probably be written to ``path``; ask before long work.

    Raises:
        EvaluationError: its folder does not exist, or it is no regular file.
    """
    with _errors_about(path):
        if not path.parent.is_dir():
            raise EvaluationError(
                f"expected a folder at {str(path.parent)!r} to write {path.name!r} into, "
                "found none; create it"
            )
        # Replacing a device such as /dev/null by a file would harm the whole machine.
        if path.exists() and not path.is_file():
            raise EvaluationError(
                f"expected the path of a file for a report, got {str(path)!r}, which is a "
                "folder or a device; name a file"
            )


def write_report(path: Path, text: str) -> None:
    """Write a whole file or none: readers never see half of it.

    Args:
        path: is replaced if it exists.
        text: what to write, line ends as they are.

    Raises:
        EvaluationError: it cannot be written.
    """
    check_writable(path)
    with _errors_about(path):
        target = path.resolve()  # a link stays a link
        # In the same folder, because only a move within one file system is atomic.
        unfinished = target.with_name(f".{os.getpid()}.report.tmp")
        try:
            # Folder names need not be UTF-8; Python marks such bytes as lone surrogates.
            unfinished.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)


@contextmanager
def _errors_about(path: Path) -> Iterator[None]:
    """Turn the errors of the file system into sentences."""
    try:
        yield
    except OSError as error:
        raise EvaluationError(
            f"expected to write {str(path)!r}, which failed ({error.strerror}); "
            "choose another place"
        ) from error


def printable(name: str) -> str:
    r"""Make a name fit on one line, and keep it apart from all other names.

    >>> print(printable("two\nlines, 100 %"))
    two\nlines, 100 %
    """
    return "".join(
        char
        if char.isprintable() and char != "\\"
        else char.encode("unicode_escape").decode("ascii")
        for char in name
    )


def columns(text: str) -> int:
    """Width of printable text in a terminal.

    >>> columns("song"), columns("曲")
    (4, 2)
    """
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def _cell(score_db: float, *, silent: bool = False) -> str:
    """A score in the table, with room for the mark of a silent reference."""
    return f"{score_db:z.3f}{SILENT if silent else ' '}"


def _six_decimals(mean_db: float, stems_db: Mapping[str, float], stems: list[str]) -> list[str]:
    """The numbers of one row of the CSV."""
    return [f"{score_db:z.6f}" for score_db in (mean_db, *(stems_db[stem] for stem in stems))]
