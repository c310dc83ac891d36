"""What was done with each song: small JSON files beside the results.

    DESTINATION/.batch/task.json           what is done with all songs; see tasks.py
    DESTINATION/.batch/tasks/HASH.json     the same, for each task that had this destination
    DESTINATION/.batch/done/NAME.json      a song's record: written last, so its results are there
    DESTINATION/.batch/failed/NAME.json    why a song could not be done; tried again by the next run

Records hold no times and no names of machines. So the records of a song are the same to the last
byte, wherever it was done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from demixing.evaluation import checked

logger = logging.getLogger(__name__)

T = TypeVar("T")

FOLDER = ".batch"
DONE, FAILED = "done", "failed"
MOST_BYTES = 1 << 20
"""Size of a record at most; usual ones have less than 1 kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What identifies a file's contents.

    Attributes:
        bytes: its size.
        sha256: of its contents.
    """

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A song that is done.

    Attributes:
        name: of the song.
        source: its address.
        source_bytes: size of its files.
        source_sha256: of its file; of several files, of the list of their hashes.
        task: fingerprint of what was done.
        version: of this package.
        files: the results, by their names in the song's folder.
        values: figures, such as scores in dB by stem; None where one is undefined.
    """

    name: str
    source: str
    source_bytes: int
    source_sha256: str
    task: str
    version: str
    files: Mapping[str, FileFacts]
    values: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A song that could not be done.

    Attributes:
        name: of the song.
        source: its address.
        task: fingerprint of what was tried.
        error: why not, in one sentence.
    """

    name: str
    source: str
    task: str
    error: str


def place(destination: str, kind: str, name: str) -> str:
    """Address of a record.

    Args:
        destination: of the results.
        kind: :data:`DONE` or :data:`FAILED`.
        name: of the song.
    """
    return f"{destination}/{FOLDER}/{kind}/{name}.json"


def text(thing: Any) -> str:
    """JSON of a record, on one line, the same for the same contents."""
    return json.dumps(dataclasses.asdict(thing), sort_keys=True, separators=(",", ":")) + "\n"


def parsed(contents: bytes, kind: type[T]) -> T | None:
    """Read a record; None if it is something else, which a power failure may leave."""
    try:
        return checked.parse(contents, kind, "a record")
    except ValueError as error:
        logger.warning("a damaged record does not count: %s", error)
        return None


def facts(path: Path) -> FileFacts:
    """Facts of a file on this machine.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileFacts(bytes=file.tell(), sha256=digest.hexdigest())


def combined(files: Mapping[str, FileFacts]) -> FileFacts:
    """Facts of several files as one; of a single file, its own."""
    if len(files) == 1:
        return next(iter(files.values()))
    lines = (f"{one.sha256}  {name}\n" for name, one in sorted(files.items()))
    digest = hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape"))
    return FileFacts(bytes=total_bytes(files.values()), sha256=digest.hexdigest())


def total_bytes(files: Iterable[FileFacts]) -> int:
    """Size of some files together."""
    return sum(one.bytes for one in files)
