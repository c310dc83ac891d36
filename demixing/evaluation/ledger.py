"""The ledger: a line of JSON per evaluation, in ``history.jsonl`` of the output folder.

Lines are only added. A lock on the file orders processes that add at the same time, and the system
releases it when a process ends, however it ends. A process that is killed while it writes leaves a
line without a line break. Readers leave such a line out, and the next writer moves it to
``history.torn`` first, so that it never becomes part of another line.
"""

import contextlib
import hashlib
import json
import logging
import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, NotRequired, TypedDict

from demixing import small_files
from demixing.errors import EvaluationError
from demixing.evaluation import checked

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FILE = "history.jsonl"
TORN = "history.torn"
"""Parts of lines whose writers were killed."""

BLOCK_BYTES = 1 << 16

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One evaluation.

    Attributes:
        number: from 1, unique in its file; 0 until it is added.
        time: when it ended, in UTC, such as ``2026-01-31T12:00:00Z``.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        recipe: ``name``, and ``sha256`` of its contents.
        weights: for each file of weights its ``name``, ``file``, ``sha256`` and ``size_bytes``.
        data: ``path``, names of ``songs``, their number as ``count``, and ``digest``; see
            :func:`digest`.
        options: those of the command that change the result.
        scores: contents of scores.json.
        machine: processor, threads, device and memory.
        versions: of this package and of what it runs on.
        seconds: taken to separate the songs that were not finished earlier.
        separated: number of these songs.
    """

    number: int = 0
    time: str
    track: str
    recipe: Mapping[str, Any]
    weights: tuple[Mapping[str, Any], ...] = ()
    data: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any]
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    separated: int = 0


def append(folder: Path, entry: Entry) -> Entry:
    """Add an entry to a folder's ledger.

    Args:
        folder: is created if it does not exist.
        entry: its number is ignored.

    Returns:
        The entry with its number.

    Raises:
        EvaluationError: the file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / FILE).open("a+b") as file, _locked(file):
            _set_torn_aside(file, folder / TORN)
            numbered = replace(entry, number=_last_number(file) + 1)
            line = json.dumps(asdict(numbered), allow_nan=False).encode() + b"\n"
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise EvaluationError(
            f"cannot write the history {str(folder / FILE)!r} ({error.strerror}); make it "
            "writable, or choose another --output"
        ) from error
    return numbered


def entries(folder: Path) -> list[Entry]:
    """Read a folder's ledger, oldest entry first.

    Lines that are no entries are left out, with a warning.

    Args:
        folder: that the evaluations wrote to.

    Raises:
        EvaluationError: there is no ledger, or it cannot be read.
    """
    path = folder / FILE
    try:
        lines = small_files.read_bytes(path).split(b"\n")
    except FileNotFoundError as error:
        raise EvaluationError(
            f"expected a history in {str(folder)!r}, found none; `demixing evaluate --output "
            f"{folder}` begins one"
        ) from error
    except OSError as error:
        raise EvaluationError(
            f"cannot read the history {str(path)!r} ({error.strerror}); make it readable"
        ) from error
    found = []
    for at, line in enumerate(lines, 1):
        # What follows the last line break is empty, or a line whose writer was killed.
        entry = _entry(line) if at < len(lines) else None
        if entry is not None:
            found.append(entry)
        elif line.strip():
            logger.warning("line %d of %s is no entry and is left out", at, str(path)[:500])
    return found


def digest(scores: Mapping[str, Any]) -> str:
    """Equal for two evaluations of the same songs, wherever these are stored.

    It covers each song's name, length, sample rate, channels, and the level of each reference to
    0.01 dB. So it changes if a song is added, cut, or gets another reference.

    Args:
        scores: contents of scores.json.

    Returns:
        A sha256 in hexadecimal.
    """
    songs = sorted(
        (
            unicodedata.normalize("NFC", song["name"]),
            [song["samples"], song["sample_rate_hz"], song["channels"]],
            sorted(
                [stem, None if level is None else round(level, 2)]
                for stem, level in song["reference_levels_dbfs"].items()
            ),
        )
        for song in scores["songs"]
    )
    text = json.dumps([scores["track"], songs])
    return hashlib.sha256(text.encode()).hexdigest()


def _entry(line: bytes) -> Entry | None:
    """Read one line; None if it is not an entry.

    Keys that a newer version may have added are ignored.
    """
    try:
        found = checked.parse(line, Entry, "an entry")
        checked.check(found.scores, _Scores, "scores")
    except ValueError:
        return None
    return found


class _Row(TypedDict):
    song_db: float | None


class _Song(TypedDict):
    mean_db: float


class _Scores(TypedDict):
    """What a history prints of scores.json."""

    mean_db: float
    stems_db: Mapping[str, float | None]
    active_mean: NotRequired[_Row]
    songs: NotRequired[tuple[_Song, ...]]


@contextlib.contextmanager
def _locked(file: BinaryIO) -> Iterator[None]:
    """Wait until no other process adds to a file. File systems without locks are not locked."""
    if fcntl is None:
        yield
        return
    with contextlib.suppress(OSError):
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(file.fileno(), fcntl.LOCK_UN)


def _set_torn_aside(file: BinaryIO, aside: Path) -> None:
    """Move a last line without a line break to another file; its writer was killed."""
    line, start = _last_line(file)
    if not line or line.endswith(b"\n"):
        return
    with aside.open("ab") as kept:
        kept.write(line + b"\n")
        kept.flush()
        os.fsync(kept.fileno())
    file.truncate(start)
    logger.warning("an earlier entry of the history was cut off; it was moved to %s", aside.name)


def _last_number(file: BinaryIO) -> int:
    """The largest number in a file, which is that of its last entry; 0 if there is none."""
    line, _ = _last_line(file)
    last = _entry(line)
    if last is not None:
        return last.number
    file.seek(0)  # the last line was edited by hand
    return max((entry.number for entry in map(_entry, file) if entry), default=0)


def _last_line(file: BinaryIO) -> tuple[bytes, int]:
    """The last line, with its line break if it has one, and its position."""
    start = size = file.seek(0, os.SEEK_END)
    found = b""
    while start:
        start = max(0, start - BLOCK_BYTES)
        file.seek(start)
        found = file.read(size - start)
        at = found.rfind(b"\n", 0, -1)
        if at >= 0:
            return found[at + 1 :], start + at + 1
    return found, 0
