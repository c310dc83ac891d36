"""Messages between two processes, through pipes.

A message consists of two lengths (little-endian, 32 bits each), a JSON header, and an optional
payload of float32 samples. Unlike a pickle, it contains nothing that can run.
"""

import json
import os
import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LENGTHS = struct.Struct("<II")

MAX_HEADER_BYTES = 1 << 20
"""A longer header means that the bytes are not a message."""


class EndError(EOFError):
    """The other end of a pipe is closed: not an error of a member that reads a file."""


class BrokenMessageError(Exception):
    """The data from a pipe is not a message."""


class Message(NamedTuple):
    """One message.

    Attributes:
        header: ``kind``, and the fields of that kind.
        payload: float32 samples, may be empty.
    """

    header: dict[str, Any]
    payload: bytearray

    def array(self, *axes: int) -> NDArray[np.float32]:
        """View the payload as samples.

        Args:
            axes: lengths of all axes except the last, which is time.

        Returns:
            ``(*axes, samples)``.

        Raises:
            BrokenMessageError: the payload is not a whole number of samples.
        """
        size_bytes = 4 * int(np.prod(axes))
        if len(self.payload) % size_bytes:
            raise BrokenMessageError(
                f"{len(self.payload)} bytes do not fit samples of shape {axes}"
            )
        samples = len(self.payload) // size_bytes
        return np.frombuffer(self.payload, dtype=np.float32).reshape(*axes, samples)


def pack(header: dict[str, Any], samples: NDArray[np.float32] | None = None) -> list[memoryview]:
    """Lay out a message as buffers to write one after the other.

    Args:
        header: of the message.
        samples: of any shape, usually ``(channels, samples)``; not copied if they are contiguous
            float32. None: no payload.
    """
    text = json.dumps(header, default=str).encode()
    waveforms = np.ascontiguousarray(samples if samples is not None else [], dtype=np.float32)
    head = LENGTHS.pack(len(text), waveforms.nbytes) + text
    return [memoryview(head)] + ([waveforms.data.cast("B")] if waveforms.size else [])


class Incoming:
    """Reads messages from a pipe.

    Args:
        fd: descriptor to read from; blocking or not.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._expect_message()

    def _expect_message(self) -> None:
        """Start a message."""
        self._header: dict[str, Any] | None = None
        self._payload_bytes: int | None = None
        self._expect(LENGTHS.size)

    def _expect(self, size_bytes: int) -> None:
        """Start a part of a message."""
        self._part, self._received = bytearray(size_bytes), 0

    def read(self) -> Message | None:
        """Make one system call; return the message if it is now complete.

        Raises:
            EndError: the other end of the pipe is closed.
            BlockingIOError: the pipe is non-blocking and empty.
            BrokenMessageError: the data is not a message.
        """
        count = os.readv(self._fd, [memoryview(self._part)[self._received :]])
        if count == 0:
            raise EndError
        self._received += count
        return self._next_part() if self._received == len(self._part) else None

    def wait(self) -> Message:
        """Return the next message of a blocking pipe; raises like :meth:`read`."""
        while (message := self.read()) is None:
            pass
        return message

    def _next_part(self) -> Message | None:
        """Advance from a complete part to the next one: lengths, header, payload."""
        if self._payload_bytes is None:
            header_bytes, self._payload_bytes = LENGTHS.unpack(self._part)
            if not 0 < header_bytes <= MAX_HEADER_BYTES:
                raise BrokenMessageError(f"a header cannot have {header_bytes} bytes")
            self._expect(header_bytes)
            return None
        if self._header is None:
            try:
                self._header = json.loads(self._part)
            except ValueError as error:
                raise BrokenMessageError(f"a header is not JSON: {error}") from error
            self._expect(self._payload_bytes)
            if self._part:
                return None
        message = Message(self._header, self._part)
        self._expect_message()
        return message
