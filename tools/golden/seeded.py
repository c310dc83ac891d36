"""Weights that need no file: each tensor is drawn from a generator that its name seeds.

Two networks with the same names and shapes get the same weights, whoever wrote them, so that a
test can make the weights of a network of any size again and store its output alone.
"""

import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def fill(network: nn.Module, *, keep: Callable[[str], bool] = lambda name: False) -> None:
    """Fill a network in place.

    Args:
        network: any; statistics of its norms become random, too.
        keep: says by its name whether a tensor stays as it is, such as the window of an STFT.
    """
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and not keep(name):
                tensor.copy_(drawn(name, tuple(tensor.shape)))


def state(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Make a state dict of given names and shapes."""
    return {name: drawn(name, shape) for name, shape in shapes.items()}


def drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    """Draw one tensor, float32.

    Matrices and filters keep the power of what passes through, variances lie between 0.5 and 1.5,
    scales around 1, everything else around 0.
    """
    draw: Any = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        values = draw.uniform(0.5, 1.5, shape)
    elif len(shape) > 1:
        values = draw.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
    elif name.endswith(("weight", "scale")):
        values = 1 + 0.1 * draw.standard_normal(shape)
    else:
        values = 0.1 * draw.standard_normal(shape)
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def song(samples: int, seed: int = 0) -> Tensor:
    """A stereo song of noise with an envelope, on the grid of 16 bits, ``(2, samples)``."""
    draw = np.random.default_rng(seed)
    time = np.arange(samples) / 44_100
    shape = 0.15 * (1.2 + np.sin(2 * np.pi * 1.7 * time + [[0.0], [0.6]]))
    tones = np.sin(2 * np.pi * 220 * time) + np.sin(2 * np.pi * 1330 * time)
    noise = draw.standard_normal((2, samples))
    audio = shape * (0.5 * noise + 0.5 * tones)
    return torch.from_numpy(np.round(audio.clip(-1, 1) * 32768) / 32768).float()
