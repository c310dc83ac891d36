"""The records of a grade as a table: time, memory, result and SDR of each song."""

from collections.abc import Mapping, Sequence

from demixing.printing import columns, printable
from evaluator.grading import records
from evaluator.grading.profiles import GIB
from evaluator.grading.records import SongResult


def table(results: Sequence[SongResult], scores_db: Mapping[str, float]) -> str:
    """Format results, one line per song.

    Args:
        results: results of all songs.
        scores_db: mean SDR in dB of each scored song.

    Returns:
        Lines that end with a newline.
    """
    rows = [["song", "seconds", "limit", "used", "memory", "SDR", "result"]]
    for one in results:
        score = scores_db.get(one.name)
        message = f": {printable(one.message)}" if one.message else ""
        rows.append(
            [
                printable(one.name),
                f"{one.seconds:.1f}",
                f"{one.limit_s:.1f}",
                f"{one.seconds / one.limit_s:.0%}",
                f"{one.peak_bytes / GIB:.2f} GiB" if one.peak_bytes else "-",
                "-" if score is None else f"{score:.3f}",
                f"{one.outcome}{message}",
            ]
        )
    widths = [max(columns(row[column]) for row in rows) for column in range(6)]
    lines = []
    for first, *numbers, last in rows:
        cells = [first + " " * (widths[0] - columns(first))]
        cells += [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([*cells, last]))
    return "".join(f"{line}\n" for line in lines)


def verdict(results: Sequence[SongResult]) -> str:
    """One line that says whether the server would score the submission."""
    bad = [one for one in results if one.outcome != records.OK]
    if not bad:
        return f"all {len(results)} songs in time: the server would score this submission\n"
    return (
        f"{len(bad)} of {len(results)} songs failed: the server would reject this submission, "
        "regardless of the other scores\n"
    )
