"""A checkpoint of PyTorch Lightning, as BandIt has it: only the weights of ``model`` are read.

Such a file has the state of a whole training: the network, losses, metrics, the optimiser, and
settings that may be objects of any class. Tensors and plain values are read; every other name in
the file stands for :class:`Ignored`, which does nothing, so no code is imported or run.
"""

import pickle
import zipfile
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from demixing.errors import CheckpointError
from demixing.weights.readers import Contents, tensors
from demixing.weights.safe_unpickling import Restricted

PREFIX = "model."
"""Of the keys of the network; those of losses and metrics have others."""


class Ignored:
    """Stands for every class and function that is not admitted; accepts everything, keeps nothing.

    A pickle may call it, build an instance, set its state, or use it as a list or a dict.
    """

    __slots__ = ()

    def __new__(cls, *_: object, **__: object) -> "Ignored":
        """Take the arguments of any class or function."""
        return super().__new__(cls)

    def __call__(self, *_: object, **__: object) -> "Ignored":
        """Take the arguments of any function."""
        return self

    def __setstate__(self, _: object) -> None:
        """Drop the attributes."""

    def __setitem__(self, _: object, __: object) -> None:
        """Drop an item of a dict."""

    def append(self, _: object) -> None:
        """Drop an item of a list."""

    def add(self, _: object) -> None:
        """Drop an item of a set."""


def read(path: Path) -> Contents:
    """Read the tensors of the network; their names are those within the network.

    Raises:
        CheckpointError: the file is not such a checkpoint.
    """
    with zipfile.ZipFile(path) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        storages: dict[str, Tensor] = {}

        def storage(key: str, dtype: torch.dtype, count: int) -> Tensor:
            # Uses no memory until it is filled, and most storages are the optimiser's.
            if key not in storages:
                _check_size(archive, f"{folder}data/{key}", dtype, count)
                storages[key] = torch.empty(count, dtype=dtype)
            return storages[key]

        found = Restricted(
            BytesIO(archive.read(pickled)), admit=lambda _: Ignored, storage=storage
        ).load()
        state = _of_network(path, found)
        used = {_address(value) for value in state.values() if isinstance(value, Tensor)}
        for key, numbers in storages.items():
            if _address(numbers) in used:
                _fill(archive, f"{folder}data/{key}", numbers)
    return Contents(state=tensors(path, state))


def _of_network(path: Path, found: object) -> dict[str, object]:
    """Return what a checkpoint has for the network, by the network's own keys.

    Raises:
        CheckpointError: there is nothing.
    """
    state = found.get("state_dict") if isinstance(found, dict) else None
    ours = {
        key.removeprefix(PREFIX): value
        for key, value in (state.items() if isinstance(state, dict) else ())
        if isinstance(key, str) and key.startswith(PREFIX)
    }
    if not ours:
        raise CheckpointError(
            f"expected {path} to contain a state_dict with keys that begin with {PREFIX!r}, got "
            f"{sorted(map(str, found))[:3] if isinstance(found, dict) else type(found).__name__}"
        )
    return ours


def _address(value: Tensor) -> int:
    """Address of a tensor's storage."""
    return value.untyped_storage().data_ptr()


def _check_size(archive: zipfile.ZipFile, name: str, dtype: torch.dtype, count: int) -> None:
    """Raise unless a storage in the archive has as many numbers as the pickle says."""
    size_bytes = archive.getinfo(name).file_size
    if size_bytes != count * dtype.itemsize:
        raise pickle.UnpicklingError(f"it has {size_bytes} bytes for {count} numbers of {dtype}")


def _fill(archive: zipfile.ZipFile, name: str, storage: Tensor) -> None:
    """Read the numbers of one storage."""
    if not storage.numel():
        return  # empty views cannot be cast
    left = storage.numpy().data.cast("B")
    with archive.open(name) as file:
        while len(left):
            done = file.readinto(left)  # type: ignore[attr-defined]
            if not done:
                raise pickle.UnpicklingError("it ends too early")
            left = left[done:]
