"""Measures a submission from outside: memory of its processes, and size of the files they write."""

import os
from collections.abc import Iterator
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


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


def disk_bytes(*folders: Path) -> int:
    """Disk space of the files in folders; links are not followed."""
    return sum(_sizes(str(folder)) for folder in folders)


def _sizes(folder: str) -> int:
    """Disk space of the files in a folder; files that vanish in the meantime count as 0."""
    total = 0
    for entry in _entries(folder):
        try:
            if entry.is_dir(follow_symlinks=False):
                total += _sizes(entry.path)
            else:
                total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """Contents of a folder; none if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            yield from entries
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
