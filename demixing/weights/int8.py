"""Matrices in eight bits, for files of weights that must be small: whole numbers times a scale.

Each output of a matrix, a row of its first dimension, has a scale of its own, so that its largest
weight becomes 127. What that costs is measured by whoever writes such a file.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale_of_8_bits"
"""Ends the name of the scales, which stand beside the matrix."""

LARGEST = 127


def quantised(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round matrices of floats to eight bits; vectors are few, and stay.

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
    """Turn :func:`quantised` matrices back into floats; a state without any is left as it is.

    Raises:
        ValueError: scales do not belong to a matrix of eight bits, or are not as many as its rows.
    """
    result = {key: value for key, value in state.items() if not key.endswith(SCALE)}
    for key, scale in state.items():
        if key.endswith(SCALE):
            matrix = result.get(key.removesuffix(SCALE))
            if matrix is None or matrix.dtype != torch.int8 or scale.shape != matrix.shape[:1]:
                raise ValueError(f"{key[:60]!r} are no scales")
            result[key.removesuffix(SCALE)] = matrix.float() * _beside(scale, matrix)
    return result


def _beside(scale: Tensor, matrix: Tensor) -> Tensor:
    """Give scales as many dimensions as a matrix has."""
    return scale.reshape(-1, *[1] * (matrix.dim() - 1))
