"""Results appear complete or not at all, on a disk and on an object store.

A song's files are written to a private folder first. On a disk, that folder is then renamed. An
object store cannot rename, but each of its files appears whole. In both cases the song's record
follows last, and results without a record do not count. A worker that is killed half-way leaves
files that the next try replaces with the same bytes; so do two workers with one song.

Results of another task or source are removed before new ones appear, their record first.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from demixing import atomic
from demixing.cluster import addresses, records
from demixing.cluster.addresses import errors, protocol
from demixing.cluster.records import DONE, FAILED, Failure, FileFacts, Record


@contextlib.contextmanager
def stage(destination: str) -> Iterator[Path]:
    """A private folder for results, on the same disk as the destination, if that is on a disk.

    Raises:
        StoreError: it cannot be created.
    """
    if protocol(destination):
        with atomic.scratch() as folder:
            yield folder
        return
    # Locks may hold on one machine only, so each machine only clears up after itself.
    machine = re.sub(r"[^\w-]", "_", socket.gethostname())
    place = Path(destination, records.FOLDER, "unfinished", machine)
    with errors(f"write to {destination!r}"):
        place.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        with errors(f"write to {destination!r}"):
            folder = stack.enter_context(atomic.staging(place))
        yield folder


def publish(destination: str, record: Record, folder: Path) -> None:
    """Make the results of a song appear, then its record.

    Args:
        destination: address of all results.
        record: of the song, which names its files.
        folder: contains the files and nothing else; it may be moved.

    Raises:
        StoreError: they cannot be written; then there is no record.
    """
    target = f"{destination}/{record.name}"
    with errors(f"write to {target!r}"):
        _forget(destination, record)
        if protocol(destination):
            _upload(target, folder, record.files)
        else:
            _move(Path(target), folder, record.files)
        forgive(destination, record.name)
        write(records.place(destination, DONE, record.name), records.text(record))


def fail(destination: str, failure: Failure) -> None:
    """Record that a song could not be done.

    Raises:
        StoreError: it cannot be written.
    """
    write(records.place(destination, FAILED, failure.name), records.text(failure))


def forgive(destination: str, name: str) -> None:
    """Remove the record that a song could not be done, if there is one.

    Raises:
        StoreError: it cannot be removed.
    """
    addresses.remove(records.place(destination, FAILED, name))


def failed(destination: str) -> set[str]:
    """Names of the songs that have a record of failure.

    Raises:
        StoreError: they cannot be listed.
    """
    found = addresses.files(f"{destination}/{records.FOLDER}/{FAILED}")
    return {one.path.removesuffix(".json") for one in found}


def done(destination: str, name: str) -> Record | None:
    """The record of a song; None if it is not done, or the record is damaged.

    Raises:
        StoreError: it cannot be read.
    """
    contents = addresses.read(records.place(destination, DONE, name), records.MOST_BYTES)
    return None if contents is None else records.parsed(contents, Record)


def whole(destination: str, record: Record) -> bool:
    """Whether all files of a record are there, with the right sizes.

    Raises:
        StoreError: they cannot be listed.
    """
    there = {one.path: one.size_bytes for one in addresses.files(f"{destination}/{record.name}")}
    return all(there.get(name) == facts.bytes for name, facts in record.files.items())


def write(address: str, text: str) -> None:
    """Write a small file, which appears whole.

    Raises:
        StoreError: it cannot be written.
    """
    with errors(f"write {address!r}"):
        if protocol(address):
            system, path = addresses.opened(address)
            system.pipe_file(path, text.encode())
        else:
            Path(address).parent.mkdir(parents=True, exist_ok=True)
            atomic.write_text(Path(address), text)


def _forget(destination: str, record: Record) -> None:
    """Remove results of another task or source."""
    old = done(destination, record.name)
    if old is None or (old.task, old.source_sha256) == (record.task, record.source_sha256):
        return
    addresses.remove(records.place(destination, DONE, old.name))
    for name in old.files.keys() - record.files.keys():
        addresses.remove(f"{destination}/{old.name}/{name}")


def _upload(target: str, folder: Path, files: Mapping[str, FileFacts]) -> None:
    """Copy files to an object store."""
    system, path = addresses.opened(target)
    for name in files:
        system.put_file(str(folder / name), f"{path}/{name}")


def _move(target: Path, folder: Path, files: Mapping[str, FileFacts]) -> None:
    """Move files to their place: the whole folder, unless there is one already."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # it was private until now
    with contextlib.suppress(OSError):  # the folder exists and is not empty
        folder.rename(target)
        return
    for name in files:
        (folder / name).replace(target / name)
