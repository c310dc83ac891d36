"""Status that a process shares with its parent, which can read it even after a crash.

It holds the information needed about a process that died or hangs in native code: its last
heartbeat, and which member of the recipe was at work.
"""

import contextlib
import mmap
import os
import struct
import tempfile
from typing import IO

NO_MEMBER = -1
"""Used instead of an index if no member is at work."""


class SharedStatus:
    """A few bytes of shared memory, written by one process and read by another.

    Args:
        fd: of an open file of at least :attr:`SIZE_BYTES`.
    """

    HEARTBEATS = struct.Struct("<Q")
    MEMBER = struct.Struct("<i")
    SIZE_BYTES = HEARTBEATS.size + MEMBER.size

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, self.SIZE_BYTES)

    @classmethod
    def make(cls) -> "tuple[SharedStatus, IO[bytes]]":
        """Create a status and the open file behind it, which a child may inherit.

        Raises:
            OSError: there is no space for it.
        """
        file = _nameless_file()
        try:
            # Space must exist before it is mapped: writing to a map of a full disk is a SIGBUS.
            file.write(cls.HEARTBEATS.pack(0) + cls.MEMBER.pack(NO_MEMBER))
            return cls(file.fileno()), file
        except BaseException:
            file.close()
            raise

    @property
    def heartbeats(self) -> int:
        """Number of heartbeats so far."""
        return int(self.HEARTBEATS.unpack_from(self._map, 0)[0])

    @heartbeats.setter
    def heartbeats(self, count: int) -> None:
        self.HEARTBEATS.pack_into(self._map, 0, count)

    @property
    def member(self) -> int:
        """Index of the member at work, or :data:`NO_MEMBER`."""
        return int(self.MEMBER.unpack_from(self._map, self.HEARTBEATS.size)[0])

    @member.setter
    def member(self, index: int) -> None:
        self.MEMBER.pack_into(self._map, self.HEARTBEATS.size, index)


def _nameless_file() -> IO[bytes]:
    """Open an unbuffered file without a name: in memory on Linux, which needs no writable folder.

    Raises:
        OSError: it cannot be created.
    """
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):  # some sandboxes refuse it
            return os.fdopen(os.memfd_create("status"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
