"""How two of our processes talk: frames through pipes, and a page that both can see.

A frame is two lengths (little endian, 32 bits each), a JSON header and raw bytes, which are float32
samples if there are any. Nothing in it can be run, unlike a pickle.

The page holds what must be known even of a process that died or hangs in native code: its last
heartbeat and which member it was asking.
"""

import json
import mmap
import os
import struct
import tempfile
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LENGTHS = struct.Struct("<II")

MAX_HEADER_BYTES = 1 << 20
"""A longer header means that the bytes are no frames at all."""

NOBODY = -1
"""Stands for no member being asked."""


class BrokenFrameError(Exception):
    """What came through a pipe is not a frame."""


class Frame(NamedTuple):
    """One message.

    Attributes:
        header: ``kind`` and whatever belongs to that kind.
        payload: float32 samples, perhaps none.
    """

    header: dict[str, Any]
    payload: bytearray

    def array(self, *axes: int) -> NDArray[np.float32]:
        """View the payload as samples.

        Args:
            axes: lengths of all axes but the last, which is time.

        Raises:
            BrokenFrameError: the payload is not a whole number of such samples.
        """
        size_bytes = 4 * int(np.prod(axes))
        if len(self.payload) % size_bytes:
            raise BrokenFrameError(f"{len(self.payload)} bytes are no samples of {axes} lanes")
        samples = len(self.payload) // size_bytes
        return np.frombuffer(self.payload, dtype=np.float32).reshape(*axes, samples)


def pack(header: dict[str, Any], samples: NDArray[np.float32] | None = None) -> list[memoryview]:
    """Lay out a frame as the buffers to write, one after the other; samples are not copied."""
    text = json.dumps(header, default=str).encode()
    lanes = np.ascontiguousarray(samples if samples is not None else [], dtype=np.float32)
    head = LENGTHS.pack(len(text), lanes.nbytes) + text
    return [memoryview(head)] + ([lanes.data.cast("B")] if lanes.size else [])


class Incoming:
    """Puts frames together from a pipe.

    Args:
        fd: of the end to read from; blocking or not.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._expect_frame()

    def _expect_frame(self) -> None:
        """Begin a frame."""
        self._header: dict[str, Any] | None = None
        self._payload_bytes: int | None = None
        self._expect(LENGTHS.size)

    def _expect(self, size_bytes: int) -> None:
        """Begin a part of a frame."""
        self._part, self._got = bytearray(size_bytes), 0

    def read(self) -> Frame | None:
        """Make one system call; return the frame if that was the end of one.

        Raises:
            EOFError: nobody can write to the pipe any more.
            BlockingIOError: the pipe is not blocking and holds nothing.
            BrokenFrameError: this is not a frame.
        """
        count = os.readv(self._fd, [memoryview(self._part)[self._got :]])
        if count == 0:
            raise EOFError
        self._got += count
        return self._turn() if self._got == len(self._part) else None

    def wait(self) -> Frame:
        """Return the next frame from a pipe that blocks; raises like :meth:`read`."""
        while (frame := self.read()) is None:
            pass
        return frame

    def _turn(self) -> Frame | None:
        """Go from a part that is whole to the next: lengths, header, payload."""
        if self._payload_bytes is None:
            header_bytes, self._payload_bytes = LENGTHS.unpack(self._part)
            if not 0 < header_bytes <= MAX_HEADER_BYTES:
                raise BrokenFrameError(f"a header cannot have {header_bytes} bytes")
            self._expect(header_bytes)
            return None
        if self._header is None:
            try:
                self._header = json.loads(self._part)
            except ValueError as error:
                raise BrokenFrameError(f"a header is no JSON: {error}") from error
            self._expect(self._payload_bytes)
            if self._part:
                return None
        frame = Frame(self._header, self._part)
        self._expect_frame()
        return frame


class Page:
    """A few bytes of shared memory: written by one process, read by another, even a dead one's.

    Args:
        fd: of an open file of at least :attr:`SIZE_BYTES`.
    """

    BEATS = struct.Struct("<Q")
    ASKED = struct.Struct("<i")
    SIZE_BYTES = BEATS.size + ASKED.size

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, self.SIZE_BYTES)

    @classmethod
    def make(cls) -> "tuple[Page, IO[bytes]]":
        """Make a page and the open file behind it, which a child may inherit."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever gets it closes it
        file.truncate(cls.SIZE_BYTES)
        page = cls(file.fileno())
        page.asked = NOBODY
        return page, file

    @property
    def beats(self) -> int:
        """How often the child's heart has beaten."""
        return int(self.BEATS.unpack_from(self._map, 0)[0])

    @beats.setter
    def beats(self, count: int) -> None:
        self.BEATS.pack_into(self._map, 0, count)

    @property
    def asked(self) -> int:
        """Index of the member that is being asked, or :data:`NOBODY`."""
        return int(self.ASKED.unpack_from(self._map, self.BEATS.size)[0])

    @asked.setter
    def asked(self, member: int) -> None:
        self.ASKED.pack_into(self._map, self.BEATS.size, member)
