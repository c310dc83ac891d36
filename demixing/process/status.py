"""Status that a process shares with its parent, which can read it even after a crash.

It holds the information needed about a process that died or hangs in native code: its last
heartbeat, and which member of the recipe was at work.
"""

import mmap
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
        """Create a status and the open file behind it, which a child may inherit."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        file.truncate(cls.SIZE_BYTES)
        status = cls(file.fileno())
        status.member = NO_MEMBER
        return status, file

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
