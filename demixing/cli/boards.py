"""The contest's leaderboards as a table, for ``list --boards``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from demixing.evaluation.boards import Board, Row

UNKNOWN = "-"
WRONG_MEAN = "*"


def table() -> Iterator[str]:
    """Yield the lines of a table per board, with its sources below."""
    from demixing.evaluation.boards import boards

    for board in boards().values():
        yield f"{board.name}: {board.contest}, board {board.letter}, {board.training}"
        yield from _one(board)
        yield ""
    yield "dB, global SDR; ranks after a slash: what another source states"
    yield f"{WRONG_MEAN} the stems, as published, do not average to the mean"


def _one(board: Board) -> Iterator[str]:
    """Yield the lines of one board."""
    from demixing.evaluation.songs import STEMS
    from demixing.printing import aligned

    header = ["  team", "rank", "mean", *STEMS[board.track], "certainty"]
    yield from aligned([header, *(_cells(row, len(STEMS[board.track])) for row in board.rows)])
    sources: dict[str, list[str]] = {}
    for row in board.rows:
        sources.setdefault(row.source, []).append(row.team)
    for source, teams in sources.items():
        yield f"  {', '.join(teams)}: {source}"


def _cells(row: Row, stems: int) -> list[str]:
    """The cells of an entry."""
    digits = row.decimals if row.stem_decimals is None else row.stem_decimals
    scores = [f"{score_db:.{digits}f}" for score_db in row.stems_db] or [UNKNOWN] * stems
    mean = f"{row.mean_db:.{row.decimals}f}{'' if row.averages else WRONG_MEAN}"
    rank = "/".join(map(str, row.ranks)) or UNKNOWN
    return [f"  {row.team}", rank, mean, *scores, row.certainty]


def as_json() -> list[dict[str, Any]]:
    """Return plain values."""
    from demixing.evaluation.boards import boards

    return [{**asdict(board), "title": board.title} for board in boards().values()]
