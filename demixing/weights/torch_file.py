"""Reads torch files: zip archives, and the files of before torch 1.6.

Either is a pickle, in which tensors are views of storages, and the numbers of the storages. The
pickle is read first, by :mod:`demixing.weights.safe_unpickling`; then those numbers that are asked
for, if the file is large enough to contain them.
"""

import gzip
import math
import pickle
import struct
from collections.abc import Collection, Iterable, Iterator
from typing import IO, Any, BinaryIO, cast

import torch
from torch import Tensor

from demixing.weights import archives, bounds
from demixing.weights.readers import named, widened
from demixing.weights.safe_unpickling import Admit, Ignored, Numbers, Restricted, Storage
from demixing.weights.weight_file import WeightFile

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
VERSION = 1001
"""Start of a file from before torch 1.6. Source: torch/serialization.py, which still writes it."""

LITTLE = b"little"
"""Contents of ``byteorder`` in an archive."""

HARMLESS = {
    "torch.Size",
    "torch.device",
    "torch.serialization._get_layout",
    "__builtin__.set",
    "__builtin__.frozenset",
    "__builtin__.complex",
    "__builtin__.bytearray",
    "_codecs.encode",
    "collections.Counter",
    "collections.defaultdict",
    *(
        str(getattr(torch, name))
        for name in dir(torch)
        if isinstance(getattr(torch, name), torch.dtype)
    ),
}
"""Names beside the tensors that say nothing about them."""


def harmless(name: str) -> object:
    """Admit names that do not matter, and no others."""
    return Ignored if name in HARMLESS else None


class TorchFile:
    """A torch file.

    Args:
        file: open; stays open while this object is used.
        admit: returns the stand-in for a full name, or None to reject the file.
        script: whether the file is, or must not be, a TorchScript archive.

    Attributes:
        value: what was saved, with :class:`Numbers` in place of tensors.

    Raises:
        Exception: of any kind, if it is damaged; see :func:`demixing.weights.readers.refusing`.
    """

    def __init__(self, file: WeightFile, admit: Admit = harmless, *, script: bool = False) -> None:
        self._file = file
        self._source = _Zip(file, admit, script) if archives.is_zip(file) else _Old(file, admit)
        self.value = self._source.value

    def state(self, state: object) -> dict[str, Tensor]:
        """Read the tensors of a state dict.

        Args:
            state: :class:`Numbers` by name, a part of :attr:`value`.

        Returns:
            The tensors; half precision is converted to float32.

        Raises:
            CheckpointError: it is empty, not a dict of tensors by name, or larger than the file.
        """
        numbers = named(self._file, state, Numbers)
        counts = ((one.storage.dtype, one.size) for one in numbers.values())
        bounds.check_bytes(self._file, _total_bytes(counts), self._source.factor)
        read = dict(self._source.read(dict.fromkeys(one.storage for one in numbers.values())))
        return {
            key: widened(read[one.storage].as_strided(one.size, one.stride, one.offset))
            for key, one in numbers.items()
        }


def _total_bytes(tensors: Iterable[tuple[torch.dtype, Collection[int]]]) -> int:
    """Size of tensors, each counted for itself, even if they share numbers."""
    return sum(dtype.itemsize * math.prod(size) for dtype, size in tensors)


class _Storages:
    """The storages that a pickle names; their sizes are bounded by that of the file."""

    def __init__(self, file: WeightFile, factor: int) -> None:
        self._file, self._factor = file, factor
        self._known: dict[str, Storage] = {}
        self._total_bytes = 0

    def __call__(self, named: Storage) -> Storage:
        """Return the storage that was first named so."""
        known = self._known.setdefault(named.key, named)
        if known is named:
            self._total_bytes += named.size_bytes
            bounds.check_bytes(self._file, self._total_bytes, self._factor)
        return known

    def __getitem__(self, key: object) -> Storage:
        if not isinstance(key, str) or key not in self._known:
            raise pickle.UnpicklingError("it has a storage that none of its tensors needs")
        return self._known[key]

    def keys(self) -> Collection[str]:
        """Names of all storages."""
        return self._known.keys()


class _Zip:
    """A zip archive with ``data.pkl`` and the storages in ``data/``."""

    factor = bounds.STORED

    def __init__(self, file: WeightFile, admit: Admit, script: bool) -> None:
        self._file = file
        self._members = {one.filename: one for one in archives.zipped(file).infolist()}
        names = self._members.keys()
        if any(name.endswith("/constants.pkl") for name in names) and not script:
            raise pickle.UnpicklingError("it is a TorchScript archive")
        (pickled,) = (name for name in names if name.endswith("/data.pkl"))
        self._root = pickled.removesuffix("data.pkl")
        order = f"{self._root}byteorder"
        if order in names and self._opened(order).read(len(LITTLE)) != LITTLE:
            raise pickle.UnpicklingError("it was written on a big-endian machine")
        storages = _Storages(file, self.factor)
        self.value = Restricted(self._opened(pickled), admit=admit, storage=storages).load()

    def _opened(self, name: str) -> BinaryIO:
        """The file at the start of a member."""
        return archives.stored(self._file, self._members[name])

    def read(self, wanted: Collection[Storage]) -> Iterator[tuple[Storage, Tensor]]:
        """Read some storages."""
        for storage in wanted:
            name = f"{self._root}data/{storage.key}"
            size_bytes = self._members[name].file_size
            if size_bytes != storage.size_bytes:
                raise pickle.UnpicklingError(
                    f"it has {size_bytes} bytes for {storage.count} numbers of {storage.dtype}"
                )
            yield storage, _filled(self._opened(name), storage)


class _Old:
    """A file from before torch 1.6, which may be compressed with gzip.

    It is a sequence of five pickles (a magic number, a version, a description of the machine, the
    object, the keys of the storages), followed by a count and that many numbers for each key.
    """

    def __init__(self, file: WeightFile, admit: Admit) -> None:
        compressed = file.start().read(len(archives.GZIP)) == archives.GZIP
        self.factor = bounds.COMPRESSED if compressed else bounds.STORED
        stream: IO[bytes] = file.start()
        if compressed:
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
        self._stream = stream
        self._storages = _Storages(file, self.factor)

        def load() -> Any:
            return Restricted(stream, admit=admit, storage=self._storages).load()

        if (load(), load()) != (MAGIC_NUMBER, VERSION):
            raise pickle.UnpicklingError("it does not begin as a torch file does")
        if not load()["little_endian"]:
            raise pickle.UnpicklingError("it was written on a big-endian machine")
        self.value = load()
        self._keys = load()

    def read(self, wanted: Collection[Storage]) -> Iterator[tuple[Storage, Tensor]]:
        """Read all storages, since they follow each other, and yield some."""
        if not isinstance(self._keys, list) or len(self._keys) != len(self._storages.keys()):
            raise pickle.UnpicklingError(
                "its list of storages is not the one that its tensors need"
            )
        for key in self._keys:
            storage = self._storages[key]
            (count,) = struct.unpack("<q", self._stream.read(8))
            if count != storage.count:
                raise pickle.UnpicklingError(f"it has {count} numbers for {storage.count}")
            numbers = _filled(self._stream, storage)
            if storage in wanted:
                yield storage, numbers


def _filled(stream: IO[bytes], storage: Storage) -> Tensor:
    """Read the numbers of one storage."""
    numbers = torch.empty(storage.count, dtype=storage.dtype)
    if storage.count:  # empty views cannot be cast
        archives.fill(stream, numbers.view(torch.uint8).numpy().data)
    return numbers
