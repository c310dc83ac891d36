"""Arrays of whole songs, ``(samples, channels)``, as blocks of tensors."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demixing.audio import BLOCK


def blocks(frames: NDArray[Any]) -> Iterator[Tensor]:
    """Cut ``(samples, channels)`` into float32 blocks of ``(channels, samples)``."""
    for start in range(0, len(frames), BLOCK):
        block = frames[start : start + BLOCK].T
        with np.errstate(over="ignore"):  # overflow becomes an infinity, which is refused
            yield torch.from_numpy(np.array(block, dtype=np.float32, order="C"))
