"""Deletes what a submission has written, however it is named and nested.

A folder is emptied by moving its subfolders up, next to it, so depth costs neither stack nor
descriptors. Every name is looked up in a folder that is open, and links are never followed, so a
submission that still runs cannot direct a deletion to other files.
"""

import contextlib
import itertools
import os
import secrets
from collections.abc import Iterable

MOST = 500_000
"""Number of entries to delete at most: a submission that still runs could make ever more."""


def clear(folder: int, names: Iterable[str] | None = None, *, most: int = MOST) -> bool:
    """Delete entries of a folder.

    Args:
        folder: its descriptor.
        names: the entries; all if None.
        most: number of entries to delete at most.

    Returns:
        Whether all of them are gone.
    """
    waiting = _names(folder, most) if names is None else list(names)
    gone = True
    while waiting and most > 0:
        name = waiting.pop()
        most -= 1
        if not _deleted(name, folder):
            count, moved = _emptied(name, folder, most)
            most -= count
            waiting += moved
            gone = _deleted(name, folder) and gone
    return gone and not waiting


def _emptied(name: str, folder: int, most: int) -> tuple[int, list[str]]:
    """Delete the contents of a subfolder, except its own subfolders, which are moved up.

    Args:
        name: of the subfolder.
        folder: descriptor of the folder that it is in.
        most: number of entries to delete at most.

    Returns:
        The number of entries, and the new names of the moved subfolders.
    """
    inner = _opened(name, folder)
    if inner is None:
        return 0, []
    moved = []
    try:
        found = _names(inner, most)
        for entry in found:
            if not _deleted(entry, inner):
                target = f".deleted-{secrets.token_hex(8)}"
                with contextlib.suppress(OSError):
                    os.rename(entry, target, src_dir_fd=inner, dst_dir_fd=folder)
                    moved.append(target)
    finally:
        os.close(inner)
    return len(found), moved


def _deleted(name: str, folder: int) -> bool:
    """Delete a file or an empty folder; return whether it is gone."""
    for delete in (os.unlink, os.rmdir):
        try:
            delete(name, dir_fd=folder)
        except FileNotFoundError:
            return True
        except OSError:
            continue
        return True
    return False


def _opened(name: str, folder: int) -> int | None:
    """Open a subfolder, and allow its user everything; None if that is impossible."""
    try:
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        os.fchmod(inner, 0o700)
    return inner


def _names(folder: int, most: int) -> list[str]:
    """Names in a folder; none if it cannot be listed."""
    found: list[str] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        found += itertools.islice((entry.name for entry in entries), most)
    return found
