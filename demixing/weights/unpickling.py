"""Pickles without the power of pickles: a file gets what a list admits, and no other name.

Pickles name functions and classes, and whoever loads them calls those. Here a name is looked up
in a dict of harmless stand-ins, and any other one is an error. Newer files of torch are left to
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
"""What stands for torch's classes of storages: what they hold."""


def load_restricted(path: Path, admitted: Iterable[tuple[Any, str]] = ()) -> Any:
    """Load a torch file with torch's own restricted loader.

    Args:
        path: of the file.
        admitted: stand-ins and the full names under which files ask for them, besides tensors
            and plain values.

    Raises:
        Exception: of any kind; see :func:`demixing.weights.readers.refusing`.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # torch.load refuses it, too, but with a warning.
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise pickle.UnpicklingError("it is a TorchScript archive")
    with torch.serialization.safe_globals(list(admitted)):
        return torch.load(path, map_location="cpu", weights_only=True)


class Restricted(pickle.Unpickler):
    """Unpickles tensors, plain values, and what a function admits."""

    def __init__(
        self,
        file: IO[bytes],
        *,
        admit: Callable[[str], object] = lambda _: None,
        storage: Callable[[str, torch.dtype, int], Tensor],
    ) -> None:
        """Args are explained here, since the base class takes more.

        Args:
            file: where the pickle begins.
            admit: returns what stands for a full name, or None to refuse the file.
            storage: returns the flat tensor with a key, a type and a number of elements.
        """
        super().__init__(file)
        self._admit = admit
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name.

        Bound methods, types of C, texts and dtypes: none of them lets a pickle change it.
        """
        full = f"{module}.{name}"
        if full == "torch._utils._rebuild_tensor_v2":
            return _rebuilt
        if full == "collections.OrderedDict":
            return OrderedDict
        found = STORAGES.get(full) or self._admit(full)
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {full[:100]!r}")
        return found

    def persistent_load(self, pid: Any) -> Any:
        """Return what lies outside the pickle: storages, and the names of classes.

        Old files wrap a class with the text of its source, which nobody needs.
        """
        if isinstance(pid, tuple) and pid[0] == "module":
            return pid[1]
        if not isinstance(pid, tuple) or pid[0] != "storage" or len(pid) not in (5, 6):
            raise pickle.UnpicklingError("it asks for something outside that is no storage")
        _, dtype, key, _, count, *view = pid
        if any(view) or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError("it has views of storages, as only very old files do")
        return self._storage(str(key), dtype, int(count))


class _Rebuild:
    """Makes a tensor of a storage; an object without attributes, so no pickle can alter it."""

    __slots__ = ()

    def __call__(
        self, storage: Tensor, offset: int, size: Any, stride: Any, *training: object
    ) -> Tensor:
        if not isinstance(storage, Tensor):
            raise pickle.UnpicklingError("it makes a tensor of something else than a storage")
        return storage.as_strided(size, stride, offset)


_rebuilt = _Rebuild()
