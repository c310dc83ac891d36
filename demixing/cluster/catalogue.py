"""The list of work: songs with names, from a folder, a list or a bucket.

    songs/  s3://bucket/songs      a folder: all audio files below it
    songs.txt                      a list: an address per line, and after a tab its name, if wanted
    songs.csv                      a list with a header: address, and name if wanted
    songs.jsonl                    a list: {"address": ..., "name": ...} on each line

Addresses in a list may be relative to the list. The name of a song is its identity: results are
found again by it, and shards follow from it. Without a name in the list, it is the path of the
address, without its suffix.
"""

from __future__ import annotations

import csv
import json
import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from demixing.cluster import addresses, names
from demixing.cluster.addresses import Listed, checked, protocol
from demixing.cluster.shards import Shard
from demixing.errors import ConfigError

LISTS = (".txt", ".csv", ".jsonl")
MOST_LIST_BYTES = 4 << 30
"""Size of a list at most; ten million songs need a quarter of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One song.

    Attributes:
        name: unique; the folder of its results, with ``/``.
        address: of its file, or of the folder of its stems.
        size_bytes: of its files together; None if that is not known.
    """

    name: str
    address: str
    size_bytes: int | None = None


def songs(source: str, suffixes: Collection[str]) -> list[Item]:
    """The songs of a folder or list: each is one file.

    Args:
        source: address of a folder or of a list.
        suffixes: of audio files, in lower case, which count in a folder.

    Raises:
        ConfigError: there are none, or two have the same name.
        StoreError: the source cannot be read.
    """
    source = checked(source)
    if suffix(source) in LISTS:
        return distinct(_listed(source), source)
    found = [one for one in addresses.files(source) if suffix(one.path) in suffixes]
    sizes = {one.path: one.size_bytes for one in found}
    named = names.of_files(sizes)
    items = (
        Item(name=name, address=f"{source}/{path}", size_bytes=sizes[path])
        for path, name in named.items()
    )
    return distinct(items, source)


def folders(source: str, suffixes: Collection[str]) -> list[Item]:
    """The songs of a data set: each is a folder of files, directly in the source.

    Args:
        source: address of the data set, or of a list of folders.
        suffixes: of audio files, in lower case.

    Raises:
        ConfigError: there are none.
        StoreError: the source cannot be read.
    """
    source = checked(source)
    if suffix(source) in LISTS:
        return distinct(_listed(source), source)
    inside: defaultdict[str, list[Listed]] = defaultdict(list)
    for one in addresses.files(source):
        if one.path.count("/") == 1 and suffix(one.path) in suffixes:
            inside[posixpath.dirname(one.path)].append(one)
    items = (
        Item(name=names.readable(folder), address=f"{source}/{folder}", size_bytes=total(files))
        for folder, files in inside.items()
    )
    return distinct(items, source)


def flattened(items: Iterable[Item]) -> list[Item]:
    """The same songs, with names without folders.

    Raises:
        ConfigError: two have the same name then.
    """
    return distinct([replace(one, name=names.flat(one.name)) for one in items], "the songs")


def part(items: Iterable[Item], shard: Shard) -> list[Item]:
    """The songs of a shard."""
    return [one for one in items if one.name in shard]


def total(files: Iterable[Listed]) -> int | None:
    """Size of some files together; None if that of one is not known."""
    sizes = [one.size_bytes for one in files]
    return None if None in sizes else sum(size for size in sizes if size)


def suffix(path: str) -> str:
    """Suffix of a path, in lower case."""
    return PurePosixPath(path).suffix.lower()


def distinct(items: Iterable[Item], source: str) -> list[Item]:
    """Sort songs by name, and check the names.

    Raises:
        ConfigError: there are no songs, or a name is wrong.
    """
    found = sorted(items, key=lambda one: one.name)
    if not found:
        raise ConfigError(
            f"expected songs in {source!r}, found none: it should be a folder, a bucket or a list "
            f"({', '.join(LISTS)})"
        )
    owners: defaultdict[str, list[str]] = defaultdict(list)
    for one in found:
        owners[names.key(names.check(one.name))].append(one.address)
    names.check_distinct(owners)
    return found


def _listed(source: str) -> Iterator[Item]:
    """The songs of a list."""
    contents = addresses.read(source, MOST_LIST_BYTES)
    if contents is None:
        raise ConfigError(f"expected a list of songs at {source!r}, which does not exist")
    try:
        text = contents.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"expected a list in UTF-8 at {source!r} ({error})") from error
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    rows = list(_READERS[suffix(source)](lines, source))
    given = [_absolute(address, source) for address, _ in rows]
    paths = [_path(address, posixpath.dirname(source)) for address in given]
    if "" in paths:
        raise ConfigError(
            f"expected addresses of songs in {source!r}, got {given[paths.index('')]!r}"
        )
    short = names.of_files(paths)
    for address, below, (_, name) in zip(given, paths, rows, strict=True):
        if name or below in short:  # otherwise it is a stem beside its mixture
            yield Item(name=name or short[below], address=address)


def _path(address: str, folder: str) -> str:
    """The path of an address below the folder of its list, or from its bucket on.

    It must not depend on what else is in the list: songs keep their names if others are added.

    >>> _path("s3://b/x/a.wav", "s3://b/x"), _path("s3://c/a.wav", "s3://b/x")
    ('a.wav', 'c/a.wav')
    """
    below = address.removeprefix(f"{folder}/")
    return below.partition("://")[2].lstrip("/") if protocol(below) else below.lstrip("/")


def _absolute(address: str, source: str) -> str:
    """An address in a list, which may be relative to the list."""
    if not address:
        raise ConfigError(f"expected an address on each line of {source!r}, found one without")
    relative = not protocol(address) and not address.startswith("/")
    return checked(f"{posixpath.dirname(source)}/{address}" if relative else address)


def _text_rows(lines: list[str], source: str) -> Iterator[tuple[str, str]]:
    """Address and name of each line of a text."""
    for line in lines:
        address, _, name = line.partition("\t")
        yield address.strip(), name.strip()


def _csv_rows(lines: list[str], source: str) -> Iterator[tuple[str, str]]:
    """Address and name of each line of a table."""
    table = csv.DictReader(lines)
    try:
        if "address" not in (table.fieldnames or ()):
            raise ConfigError(
                f"expected {source!r} to have a column named address in its first line"
            )
        for row in table:
            yield row["address"] or "", row.get("name") or ""
    except csv.Error as error:
        raise ConfigError(
            f"expected a table at {source!r} ({error}, after line {table.line_num})"
        ) from error


def _json_rows(lines: list[str], source: str) -> Iterator[tuple[str, str]]:
    """Address and name of each JSON object."""
    for number, line in enumerate(lines, 1):
        row = _row(line)
        address, name = row.get("address"), row.get("name", "")
        if not isinstance(address, str) or not isinstance(name, str):
            raise ConfigError(
                f'expected line {number} of {source!r} to be like {{"address": "a.wav", "name": '
                f'"a"}}, got {line[:60]!r}'
            )
        yield address, name


def _row(line: str) -> dict[str, Any]:
    """A line of a JSON list; empty if it is something else."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


_READERS = {".txt": _text_rows, ".csv": _csv_rows, ".jsonl": _json_rows}
