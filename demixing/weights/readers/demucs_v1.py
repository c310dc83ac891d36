"""A file from torch before 1.6 with class, arguments and tensors, as Demucs v1 wrote it.

Such a file is a sequence of five pickles (a magic number, a version, a description of the machine,
the object, the keys of the storages), followed by a count and that many numbers for each key. The
whole file may be compressed with gzip. torch's restricted loader rejects it, because it contains
classes where the loader expects storages.
"""

import gzip
import pickle
import struct
import zipfile
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from demixing.errors import CheckpointError
from demixing.weights.readers import Contents, arguments, tensors
from demixing.weights.unpickling import Restricted, load_restricted

CLASSES = ("demucs.model.Demucs", "demucs.tasnet.ConvTasNet")
"""Classes that such files may name."""

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
VERSION = 1001
"""Start of such a file. Source: torch/serialization.py, which can still write it."""


def read(path: Path) -> Contents:
    """Read the tensors, the name of the class and its arguments.

    Raises:
        CheckpointError: the file is for another class, or contains more than tensors.
    """
    if zipfile.is_zipfile(path):  # the same object, written by a newer torch
        stands_for: dict[Any, str] = {type("Named", (), {}): name for name in CLASSES}
        found = load_restricted(path, stands_for.items())
        if isinstance(found, tuple) and found and isinstance(found[0], type):
            found = (stands_for.get(found[0]), *found[1:])
    else:
        with path.open("rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            found = _read_legacy(gzip.GzipFile(fileobj=file) if compressed else file)
    if not isinstance(found, tuple) or len(found) != 4 or found[0] not in CLASSES:
        raise CheckpointError(
            f"expected {path} to contain a class of Demucs v1, its arguments and tensors, "
            f"got {type(found).__name__}"
        )
    name, positional, named, state = found
    return Contents(
        state=tensors(path, state), network=name, arguments=arguments(path, positional, named)
    )


def _read_legacy(file: Any) -> Any:
    """Read the object in a file from torch before 1.6."""
    storages: dict[str, Tensor] = {}

    def storage(key: str, dtype: torch.dtype, count: int) -> Tensor:
        # Filled later, because the numbers follow the object; it uses no memory until then.
        return storages.setdefault(key, torch.empty(count, dtype=dtype))

    def load() -> Any:
        return Restricted(
            file, admit=lambda name: name if name in CLASSES else None, storage=storage
        ).load()

    if (load(), load()) != (MAGIC_NUMBER, VERSION):
        raise pickle.UnpicklingError("it does not begin as a torch file does")
    if not load()["little_endian"]:
        raise pickle.UnpicklingError("it was written on a big-endian machine")
    found = load()
    keys = load()
    if sorted(keys) != sorted(storages):
        raise pickle.UnpicklingError("its list of storages is not the one that its tensors need")
    for key in keys:
        _fill(file, storages[key])
    return found


def _fill(file: IO[bytes], storage: Tensor) -> None:
    """Read the numbers of one storage."""
    (count,) = struct.unpack("<q", file.read(8))
    if count != storage.numel():
        raise pickle.UnpicklingError(f"it has {count} numbers for {storage.numel()}")
    # Empty views cannot be cast.
    left = storage.numpy().data.cast("B") if count else memoryview(b"")
    while len(left):
        done = file.readinto(left)  # type: ignore[attr-defined]
        if not done:
            raise pickle.UnpicklingError("it ends too early")
        left = left[done:]
