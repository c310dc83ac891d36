"""A TorchScript archive, the format of Danna-Sep: only its tensors are read.

Such an archive is a zip file with programs in ``code/``, a pickle of the module's attributes in
``data.pkl``, and the numbers in ``data/``. torch.jit.load would compile the programs; here only
the pickle and the numbers are read.
"""

import io
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from demixing.weights.readers import Contents, tensors
from demixing.weights.unpickling import Restricted


class Script:
    """Stand-in for all classes in the archive's programs; it keeps an object's attributes."""

    __slots__ = ("attributes",)

    def __setstate__(self, attributes: dict[str, object]) -> None:
        self.attributes = dict(attributes)


class _Same:
    """Stand-in for torch's functions that set the type of a list; a pickle cannot change it."""

    __slots__ = ()

    def __call__(self, value: object, *_: object) -> object:
        return value


STAND_INS = {
    f"torch.jit._pickle.{name}": _Same()
    for name in (
        "build_intlist",
        "build_doublelist",
        "build_boollist",
        "build_tensorlist",
        "restore_type_tag",
    )
}
"""Names in archives besides their own classes."""


def _admit(name: str) -> object:
    """Return the stand-in for a name in an archive's pickle, or None."""
    return Script if name.startswith("__torch__.") else STAND_INS.get(name)


def read(path: Path) -> Contents:
    """Read the tensors; names are paths through the modules, as in a state dict.

    Raises:
        CheckpointError: the file is not such an archive, or contains more than tensors.
    """
    with zipfile.ZipFile(path) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        root = pickled.removesuffix("data.pkl")
        storages: dict[str, Tensor] = {}

        def storage(key: str, dtype: torch.dtype, count: int) -> Tensor:
            if key not in storages:
                storages[key] = _read_storage(archive, f"{root}data/{key}", dtype, count)
            return storages[key]

        module = Restricted(
            io.BytesIO(archive.read(pickled)),
            admit=_admit,
            storage=storage,
        ).load()
    if not isinstance(module, Script):
        raise pickle.UnpicklingError("it contains no module")
    return Contents(state=tensors(path, dict(_walk(module))))


def _read_storage(archive: zipfile.ZipFile, name: str, dtype: torch.dtype, count: int) -> Tensor:
    """Read the numbers of one storage."""
    size_bytes = archive.getinfo(name).file_size
    if size_bytes != count * dtype.itemsize:
        raise pickle.UnpicklingError(f"it has {size_bytes} bytes for {count} numbers of {dtype}")
    if not count:
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(bytearray(archive.read(name)), dtype=dtype)


def _walk(module: Script, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a module and of its submodules."""
    for name, value in module.attributes.items():
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(value, Script) and hasattr(value, "attributes"):
            yield from _walk(value, f"{prefix}{name}.")
