"""What a run says of itself: one line of JSON per event, and TensorBoard's files if it is there."""

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from demixing import atomic
from demixing.errors import OutputError

logger = logging.getLogger(__name__)

JOURNAL = "journal.jsonl"


class Journal:
    """Append events to a run's folder.

    Args:
        folder: of the run.
        step: that the run goes on from; what the journal has of later steps is removed, because it
            will be computed again.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        path = folder / JOURNAL
        try:
            kept = [event for event in read(path) if event["step"] <= step]
            atomic.write_text(path, "".join(map(_line, kept)))
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {str(path)!r}: {error}") from error
        self._board = _board(folder, step)

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Append one event.

        Args:
            kind: ``step``, ``validation``, or another word.
            step: of the run.
            values: numbers and texts, and tables of them.
        """
        self._file.write(_line({"kind": kind, "step": step, **values}))
        self._file.flush()
        if self._board is not None:
            for name, value in _flat(values):
                if isinstance(value, int | float) and math.isfinite(value):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Write what is left."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def read(path: Path) -> list[dict[str, Any]]:
    """Read all whole lines of a journal; the last may have been cut off."""
    events = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                break
    return events


def _line(event: dict[str, Any]) -> str:
    """One event as a line; what is not finite is null, because JSON has no word for it."""
    return json.dumps(_finite(event), allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Replace numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _flat(values: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of tables within tables.

    >>> dict(_flat({"a": 1, "b": {"c": 2}}))
    {'a': 1, 'b/c': 2}
    """
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{within}{key}/")
        else:
            yield f"{within}{key}", value


def _board(folder: Path, step: int) -> Any:
    """TensorBoard's writer, or None if the package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.info("no TensorBoard files: the package tensorboard is not installed")
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
