"""All records of a batch in one file, which is made of them: no file is written by many.

Each line of ``manifest.jsonl`` is a song: its record with ``"status": "done"``, or why it failed
with ``"status": "failed"``. Lines are sorted by name, so the manifest of the same songs is the same
to the last byte, however many machines did them.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from demixing.cluster import addresses, names, publishing, records, tasks
from demixing.cluster.records import DONE, FAILED, FOLDER, Failure, Record
from demixing.errors import ConfigError

T = TypeVar("T")

AT_A_TIME = 32
"""Records that are read at a time: each one waits for its store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What was done.

    Attributes:
        done: records of the destination's task, sorted by name.
        failed: songs whose last try failed, sorted by name. They may have results of an earlier
            source or task, which do not count.
    """

    done: tuple[Record, ...]
    failed: tuple[Failure, ...]

    def lines(self) -> Iterator[str]:
        """The lines of the file."""
        rows: list[tuple[str, Record | Failure]] = [("done", one) for one in self.done]
        rows += [("failed", one) for one in self.failed]
        for status, one in sorted(rows, key=lambda row: row[1].name):
            table = {**dataclasses.asdict(one), "status": status}
            yield json.dumps(table, sort_keys=True, separators=(",", ":")) + "\n"

    def songs(self) -> set[str]:
        """Names of all songs, done or failed."""
        return {one.name for one in self.done} | {one.name for one in self.failed}

    def means(self) -> dict[str, float]:
        """The mean over songs of each figure, such as the score of a stem, where it is defined."""
        values: dict[str, list[float]] = {}
        for record in self.done:
            for name, value in record.values.items():
                if value is not None:
                    values.setdefault(name, []).append(value)
        return {name: sum(own) / len(own) for name, own in values.items()}


def write(destination: str) -> Manifest:
    """Read all records of a destination, and write the manifest.

    Raises:
        ConfigError: no batch has written there.
        StoreError: they cannot be read, or it cannot be written.
    """
    found = read(destination)
    if not found.songs() and tasks.current(destination) is None:
        raise ConfigError(f"expected the results of a batch at {destination!r}, found none")
    publishing.write(f"{destination}/{names.MANIFEST}", "".join(found.lines()))
    return found


def read(destination: str) -> Manifest:
    """Read all records of a destination.

    Raises:
        StoreError: they cannot be read.
    """
    done = _records(destination, DONE, Record)
    if (task := tasks.current(destination)) is not None:  # others are still to be replaced
        done = {name: one for name, one in done.items() if one.task == task}
    failed = _records(destination, FAILED, Failure)
    return Manifest(
        done=tuple(done[name] for name in sorted(done.keys() - failed.keys())),
        failed=tuple(failed[name] for name in sorted(failed)),
    )


def _records(destination: str, kind: str, of: type[T]) -> Mapping[str, T]:
    """The records of one kind, by name of the song."""
    folder = f"{destination}/{FOLDER}/{kind}"
    listed = [one.path.removesuffix(".json") for one in addresses.files(folder)]

    def one(name: str) -> T | None:
        contents = addresses.read(records.place(destination, kind, name), records.MOST_BYTES)
        return None if contents is None else records.parsed(contents, of)

    found = zip(listed, _together(one, listed), strict=True)
    return {name: record for name, record in found if record is not None}


def _together(call: Callable[[str], T], given: Iterable[str]) -> Iterator[T]:
    """Call a function for many names, several at a time, and yield the results in order."""
    rest = iter(given)
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as executor:
        while some := list(itertools.islice(rest, 16 * AT_A_TIME)):
            yield from executor.map(call, some)
