"""The log of a run: one line of JSON per event, and TensorBoard's files if it is installed."""

import contextlib
import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from demixing import atomic
from demixing.errors import OutputError

logger = logging.getLogger(__name__)

LOG = "log.jsonl"

BOARD = "tensorboard"

OLD_LOG = "journal.jsonl"
"""Name of the log in folders of the previous version; read for one version."""


class RunLog:
    """Appends events to the log in a run's folder.

    TensorBoard's files are written again from the log, so that they do not become more with each
    interruption.

    Args:
        folder: folder of the run.
        step: after which the run resumes. Events of later steps are removed, because these steps
            will be computed again.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        path = folder / LOG
        try:
            kept = [event for event in events(folder) if event["step"] <= step]
            atomic.write_text(path, "".join(map(_line, kept)))
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {str(path)!r}: {error}") from error
        self._board = _board(folder)
        for event in kept if self._board is not None else ():
            self._show(**event)

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Append one event.

        Args:
            kind: ``step``, ``validation`` or another word.
            step: number of the step.
            values: numbers and texts, and tables of them.
        """
        self._file.write(_line({"kind": kind, "step": step, **values}))
        self._file.flush()
        self._show(kind, step, **values)

    def _show(self, kind: str, step: int, **values: Any) -> None:
        """Add the numbers of an event to TensorBoard's files, if there are any."""
        if self._board is None:
            return
        for name, value in _flat(values):
            if isinstance(value, int | float) and math.isfinite(value):
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def events(folder: Path) -> list[dict[str, Any]]:
    """Read the log of a run up to the first line that is damaged; empty if there is no log."""
    path = folder / LOG if (folder / LOG).is_file() else folder / OLD_LOG
    found = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                break
            if not _is_event(event):
                break
            found.append(event)
    return found


def _is_event(value: Any) -> bool:
    """Whether a line of a log is what :meth:`RunLog.write` writes."""
    return isinstance(value, dict) and isinstance(value.get("step"), int) and "kind" in value


def _line(event: dict[str, Any]) -> str:
    """An event as a line of JSON; numbers that are not finite become null."""
    return json.dumps(_finite(event), allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Replace numbers that are not finite by None."""
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


def _board(folder: Path) -> Any:
    """TensorBoard's writer to new files, or None if the package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.info("no TensorBoard files: the package tensorboard is not installed")
        return None
    for old in (folder / BOARD).glob("events.out.tfevents.*"):
        with contextlib.suppress(OSError):  # then there are two, which TensorBoard can show as well
            old.unlink()
    return SummaryWriter(str(folder / BOARD))
