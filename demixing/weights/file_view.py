"""A part of an open file that a parser reads as if it were in memory.

A file of networks is mostly numbers. What is around them is read in windows; the numbers are read
once, to where they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, overload

from demixing.weights import archives

if TYPE_CHECKING:
    from demixing.weights.weight_file import WeightFile

WINDOW_BYTES = 1 << 14
"""What is read at once. Longer parts stay in the file."""


class FileView:
    """Bytes of a file, with the length, items and slices that a parser needs of a memoryview.

    Args:
        stream: the file, at any position; it is moved.
        start: offset of the first byte.
        length: in bytes.
    """

    def __init__(self, stream: BinaryIO, start: int, length: int) -> None:
        self._stream, self._start, self._length = stream, start, length
        self._at, self._window = 0, memoryview(b"")

    @classmethod
    def of(cls, file: WeightFile) -> FileView:
        """All of a file."""
        return cls(file.stream, 0, file.size_bytes)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, key: int) -> int: ...

    @overload
    def __getitem__(self, key: slice) -> memoryview | FileView: ...

    def __getitem__(self, key: int | slice) -> int | memoryview | FileView:
        """Return one byte, or a part: in memory if it is short.

        Args:
            key: an offset from the start, or a slice without a step.

        Raises:
            IndexError: there is no such byte.
        """
        if isinstance(key, int):
            if not 0 <= key < self._length:
                raise IndexError("there is no such byte")
            return self._near(key, 1)[0]
        start, stop, _ = key.indices(self._length)
        length = max(stop - start, 0)
        if length > WINDOW_BYTES:
            return FileView(self._stream, self._start + start, length)
        return self._near(start, length)

    def fill(self, numbers: memoryview) -> None:
        """Read as many bytes as fit into a buffer, from the first on.

        Raises:
            UnpicklingError: there are fewer.
        """
        self._stream.seek(self._start)
        archives.fill(self._stream, numbers)

    def _near(self, start: int, length: int) -> memoryview:
        """Some bytes, with a new window if they are not in the last one."""
        offset = start - self._at
        if offset < 0 or offset + length > len(self._window):
            self._stream.seek(self._start + start)
            left = min(WINDOW_BYTES, self._length - start)
            self._at, self._window, offset = start, memoryview(self._stream.read(left)), 0
        return self._window[offset : offset + length]
