"""Returns freed memory to the system.

The C library keeps freed blocks of up to 32 MB for later. Members of different sizes leave holes
that the next one cannot use, so a process that uses 600 MB may occupy 1 GB.

Source: glibc, mallopt(3), mallinfo2(3) and malloc_trim(3); Linux,
Documentation/admin-guide/mm/transhuge.rst.
"""

import ctypes
import functools
import os
from collections.abc import Callable
from pathlib import Path

from demixing.machine.linux import lines

LARGE_BYTES, LARGE_BYTES_HUGE = 16_000_000, 4_000_000
"""Blocks from this size on never enter the heap; the second size is for huge pages.

The tensors of HTDemucs are of 2 to 33 MB. Freed in the heap, they leave holes between smaller
blocks, which grow with the song; outside of it, fresh pages cost processor time, less if they are
huge. Measured in docs/decisions/002-precision-and-speed.md.
"""

KEPT_BYTES = 1 << 30
"""Free memory at the end of the heap that is kept, because the next chunk needs it again."""

THRESHOLDS = {"MALLOC_MMAP_THRESHOLD_": -3, "MALLOC_TRIM_THRESHOLD_": -1}
"""glibc's environment variables, with their numbers for mallopt(3)."""

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""PyTorch's environment variable: 1 requests huge pages for tensors of 2 MB and more."""

MOST_FREE_BYTES = 64 << 20
"""Free memory that may remain: returning it and requesting it again takes some milliseconds."""


class _Mallinfo2(ctypes.Structure):
    """Figures about all arenas: ``fordblks`` bytes are free, ``hblkhd`` are outside of the heap."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def keep_large_blocks_apart() -> None:
    """Return blocks of :data:`LARGE_BYTES` or more to the system as soon as they are freed.

    For programs, which own their process, before they import torch. A variable in the environment
    is respected.
    """
    huge = huge_pages() and os.environ.setdefault(HUGE_PAGES, "1") == "1"
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return
    values = (LARGE_BYTES_HUGE if huge else LARGE_BYTES, KEPT_BYTES)
    for (variable, number), value in zip(THRESHOLDS.items(), values, strict=True):
        if variable not in os.environ:
            mallopt(number, value)


def huge_pages(root: Path = Path("/")) -> bool:
    """Return whether Linux gives huge pages to a program that requests them."""
    found = list(lines(root / "sys/kernel/mm/transparent_hugepage/enabled"))
    return any(choice in line for line in found for choice in ("[always]", "[madvise]"))


def apart_bytes() -> int:
    """Bytes in blocks outside of the heap; 0 if the C library does not say."""
    functions = _functions()
    return int(functions[0]().hblkhd) if functions else 0


def tidy(most_free_bytes: int = MOST_FREE_BYTES) -> bool:
    """Return free memory to the system if there is much of it; return whether that was done.

    Args:
        most_free_bytes: free memory that may remain.
    """
    functions = _functions()
    if not functions or functions[0]().fordblks <= most_free_bytes:
        return False
    functions[1](0)
    return True


@functools.cache
def _functions() -> tuple[Callable[[], _Mallinfo2], Callable[[int], int]] | None:
    """The two functions of glibc from 2.33 on; None elsewhere."""
    try:
        library = ctypes.CDLL(None)
        info, trim = library.mallinfo2, library.malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return None
    info.restype = _Mallinfo2
    trim.argtypes = [ctypes.c_size_t]
    return info, trim
