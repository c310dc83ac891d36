"""Weights without files: each tensor is drawn from a generator seeded by its name.

Two networks with the same names and shapes get the same weights, even if they are from different
authors. So a test can draw the weights of a network of any size, and only its output is stored.
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
        network: any network; the statistics of its normalisations become random, too.
        keep: tells by name whether a tensor is left unchanged, such as the window of an STFT.
    """
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and not keep(name):
                tensor.copy_(drawn(name, tuple(tensor.shape)))


def state(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Draw a state dict of given names and shapes."""
    return {name: drawn(name, shape) for name, shape in shapes.items()}


def drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    """Draw one tensor.

    Matrices and filters preserve the power of their input; variances are between 0.5 and 1.5,
    scales around 1, all other tensors around 0.

    Args:
        name: seeds the generator.
        shape: shape of the tensor.

    Returns:
        float32, of the given shape.
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
    """Return a song of noise and tones with an envelope, rounded to 16 bits, ``(2, samples)``."""
    draw = np.random.default_rng(seed)
    time = np.arange(samples) / 44_100
    shape = 0.15 * (1.2 + np.sin(2 * np.pi * 1.7 * time + [[0.0], [0.6]]))
    tones = np.sin(2 * np.pi * 220 * time) + np.sin(2 * np.pi * 1330 * time)
    noise = draw.standard_normal((2, samples))
    audio = shape * (0.5 * noise + 0.5 * tones)
    return torch.from_numpy(np.round(audio.clip(-1, 1) * 32768) / 32768).float()
