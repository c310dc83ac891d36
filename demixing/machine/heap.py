"""Gives memory that was freed back to the system.

The C library keeps freed blocks of up to 32 MB for later. Members of different sizes leave holes
that the next one cannot use, so that a process which holds 600 MB may occupy 1 GB.

Source: glibc, mallinfo2(3) and malloc_trim(3).
"""

import ctypes
import functools
from collections.abc import Callable

MOST_FREE_BYTES = 64 << 20
"""So much may remain: to give it back and to ask for it again takes some milliseconds."""


class _Mallinfo2(ctypes.Structure):
    """Figures about all arenas; ``fordblks`` is the number of free bytes."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def free_bytes() -> int:
    """Bytes that were freed and not given back, as far as the C library says; otherwise 0."""
    functions = _functions()
    return int(functions[0]().fordblks) if functions else 0


def tidy(most_free_bytes: int = MOST_FREE_BYTES) -> bool:
    """Give free memory back if there is much of it, and say whether that was done.

    Args:
        most_free_bytes: so much may remain.
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
