"""Reads docs/separators/figures.json, which ``python -m tools.separator_figures`` writes."""

import functools
import json
from pathlib import Path
from typing import Any

from demixing.separator import Chunking, SongEnd, Window

FILE = Path(__file__).parents[2] / "docs" / "separators" / "figures.json"


@functools.cache
def read() -> dict[str, Any]:
    """Return the whole table."""
    table: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return table


def of(name: str) -> dict[str, Any] | None:
    """Return the figures of a separator; None if it was not measured."""
    found = read()["separators"].get(name)
    return found if found and "chunk" in found else None


def chunking(found: dict[str, Any]) -> Chunking:
    """Return the chunking that figures describe."""
    return Chunking(
        chunk=found["chunk"],
        hop=found["hop"],
        context=found["context"],
        window=Window(found["window"]),
        end=SongEnd(found["end"]),
    )


def machine() -> str:
    """Say in one sentence what the figures are of."""
    found = read()["machine"]
    return (
        f"{found['processor']}, Python {found['python']}, torch {found['torch']}, "
        f"onnxruntime {found['onnxruntime-gpu']}"
    )


def millions(weights: int | None) -> str:
    """Return a number of weights in millions.

    >>> millions(41_984_456), millions(25_777), millions(None)
    ('42 M', '0.026 M', '-')
    """
    if weights is None:
        return "-"
    return f"{weights / 1e6:.0f} M" if weights >= 10e6 else f"{weights / 1e6:.2g} M"
