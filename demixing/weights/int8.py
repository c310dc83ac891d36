"""Quantises weights to 8 bits, for smaller files.

Each output of a matrix, a row of its first dimension, has its own scale, such that its largest
weight becomes 127. The loss of quality must be measured for each file.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale_of_8_bits"
"""Suffix for the name of a matrix's scales."""

LARGEST = 127


def quantised(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Quantise matrices of floats to int8; vectors are small and are kept.

    >>> quantised({"a.weight": torch.tensor([[0.5, -1.0], [2.0, 0.0]])})["a.weight"]
    tensor([[  64, -127],
            [ 127,    0]], dtype=torch.int8)
    """
    result: dict[str, Tensor] = {}
    for key, value in state.items():
        if value.dim() < 2 or not value.is_floating_point() or not value.numel():
            result[key] = value
            continue
        scale = value.float().flatten(1).abs().amax(dim=1) / LARGEST
        rows = value.float() / _beside(scale.clamp(min=torch.finfo(scale.dtype).tiny), value)
        result[key] = rows.round().to(torch.int8)
        result[key + SCALE] = scale
    return result


def dequantised(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert :func:`quantised` matrices back to floats; other tensors are kept.

    Raises:
        ValueError: scales belong to no int8 matrix, or their number differs from its rows.
    """
    result = {key: value for key, value in state.items() if not key.endswith(SCALE)}
    for key, scale in state.items():
        if key.endswith(SCALE):
            matrix = result.get(key.removesuffix(SCALE))
            if matrix is None or matrix.dtype != torch.int8 or scale.shape != matrix.shape[:1]:
                raise ValueError(f"{key[:60]!r} are not valid scales")
            result[key.removesuffix(SCALE)] = matrix.float() * _beside(scale, matrix)
    return result


def _beside(scale: Tensor, matrix: Tensor) -> Tensor:
    """Give scales the number of dimensions of a matrix."""
    return scale.reshape(-1, *[1] * (matrix.dim() - 1))
