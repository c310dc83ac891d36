"""Measures a submission from outside: memory of its processes, and size of the files they write."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
BLOCK_BYTES = 512
"""Unit of ``st_blocks``."""

MOST_ENTRIES = 100_000
"""Files and folders that a submission may have; stems and caches are a few hundred."""

DEEPEST = 32
"""Folders in each other that are followed; each one keeps a descriptor open."""


def descendants(root: int) -> list[int]:
    """Ids of a process and of all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            parent = _parent(int(entry.name))
            if parent is not None:
                children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        number = waiting.pop()
        found.append(number)
        waiting += children.get(number, [])
    return found


def memory_bytes(root: int) -> int:
    """Memory of a process and all its descendants; shared memory counts once where possible."""
    return sum(_memory_bytes(number) for number in descendants(root))


def disk(folder: int) -> tuple[int, int]:
    """Disk space in bytes and number of the files in a folder; links are not followed.

    Args:
        folder: its descriptor.

    Returns:
        Both count only what can be found: at most :data:`MOST_ENTRIES` entries, at most
        :data:`DEEPEST` folders deep; deeper ones count as too many files.
    """
    total, files = 0, 0
    for status in _statuses(folder, 0):
        total += status.st_blocks * BLOCK_BYTES if status else 0
        files += 1 if status else MOST_ENTRIES
        if files > MOST_ENTRIES:
            break
    return total, files


def _statuses(folder: int, depth: int) -> Iterator[os.stat_result | None]:
    """Status of every file in a folder, and None for a folder that is too deep."""
    if depth > DEEPEST:
        yield None
        return
    for name in _names(folder):
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:  # it has just vanished
            continue
        yield status
        if stat.S_ISDIR(status.st_mode):
            yield from _inside(name, folder, depth)


def _inside(name: str, parent: int, depth: int) -> Iterator[os.stat_result | None]:
    """As :func:`_statuses`, for a folder in a folder."""
    try:
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    except OSError:
        return
    try:
        yield from _statuses(folder, depth + 1)
    finally:
        os.close(folder)


def _names(folder: int) -> Iterator[str]:
    """Names in a folder; none if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries)
    except OSError:
        return


def _parent(number: int) -> int | None:
    """Id of a process's parent; None if the process has ended."""
    try:
        text = Path(f"/proc/{number}/stat").read_text(encoding="ascii", errors="replace")
        return int(text.rpartition(")")[2].split()[1])  # the name in brackets may contain anything
    except (OSError, ValueError, IndexError):
        return None


def _memory_bytes(number: int) -> int:
    """Proportional set size of a process, or its resident size if only that is readable."""
    try:
        for line in Path(f"/proc/{number}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return (
            int(Path(f"/proc/{number}/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES
        )
    except (OSError, ValueError, IndexError):
        return 0
