"""Reads pickles safely: a file can only use names from a fixed list.

A pickle names functions and classes, which are called when it is loaded. Here, each name is looked
up in a dict of harmless stand-ins, and any other name is an error. Newer torch files are read by
torch's own restricted loader.
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

STORAGES = {
    f"torch.{kind}Storage": dtype
    for kind, dtype in {
        "Float": torch.float32,
        "Half": torch.float16,
        "Double": torch.float64,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
    }.items()
}
"""Stand-ins for torch's storage classes, with their dtypes."""


def load_restricted(path: Path, admitted: Iterable[tuple[Any, str]] = ()) -> Any:
    """Load a torch file with torch's own restricted loader.

    Args:
        path: of the file.
        admitted: allowed stand-ins with their full names in files, besides tensors and plain
            values.

    Raises:
        Exception: of any kind; see :func:`demixing.weights.readers.refusing`.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # torch.load also rejects it, but with a warning.
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise pickle.UnpicklingError("it is a TorchScript archive")
    with torch.serialization.safe_globals(list(admitted)):
        return torch.load(path, map_location="cpu", weights_only=True)


class Restricted(pickle.Unpickler):
    """Unpickles tensors, plain values, and names that a function allows."""

    def __init__(
        self,
        file: IO[bytes],
        *,
        admit: Callable[[str], object] = lambda _: None,
        storage: Callable[[str, torch.dtype, int], Tensor],
    ) -> None:
        """Create an unpickler.

        Args:
            file: at the start of the pickle.
            admit: returns the stand-in for a full name, or None to reject the file.
            storage: returns the flat tensor for a key, a type and a number of elements.
        """
        super().__init__(file)
        self._admit = admit
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name.

        It is a bound method, a C type, a string or a dtype: a pickle cannot change any of these.
        """
        full = f"{module}.{name}"
        if full == "torch._utils._rebuild_tensor_v2":
            return _rebuilt
        if full == "collections.OrderedDict":
            return OrderedDict
        found = STORAGES.get(full) or self._admit(full)
        if found is None:
            raise pickle.UnpicklingError(f"it needs {full[:100]!r}")
        return found

    def persistent_load(self, pid: Any) -> Any:
        """Return objects stored outside the pickle: storages, and names of classes.

        Old files store a class with its source code, which is ignored.
        """
        if isinstance(pid, tuple) and pid[0] == "module":
            return pid[1]
        if not isinstance(pid, tuple) or pid[0] != "storage" or len(pid) not in (5, 6):
            raise pickle.UnpicklingError("it refers to an external object that is not a storage")
        _, dtype, key, _, count, *view = pid
        if any(view) or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError("it has views of storages, which only very old files have")
        return self._storage(str(key), dtype, int(count))


class _Rebuild:
    """Makes a tensor from a storage; it has no attributes, so a pickle cannot change it."""

    __slots__ = ()

    def __call__(
        self, storage: Tensor, offset: int, size: Any, stride: Any, *training: object
    ) -> Tensor:
        if not isinstance(storage, Tensor):
            raise pickle.UnpicklingError("it makes a tensor from something that is not a storage")
        return storage.as_strided(size, stride, offset)


_rebuilt = _Rebuild()
