"""Rescales stems that exceed full scale, as Demucs' command does, so that integers do not clip.

A gain needs the peak of a whole stem. So the stems wait in a file without a name, and memory does
not depend on the length of the song.
"""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

HEADROOM = 1.01
"""The largest peak becomes 1 / 1.01; the value is that of Demucs."""


def rescaled(blocks: Iterable[Tensor], folder: Path) -> Iterator[Tensor]:
    """Divide each stem by ``max(HEADROOM * peak, 1)``.

    Args:
        blocks: of a song, ``(stems, channels, samples)``, float32.
        folder: for the file, which needs the space of the stems in float32.

    Yields:
        The same blocks, rescaled.

    Raises:
        OSError: there is too little space.

    >>> loud = torch.tensor([[[0.5, -2.0]], [[0.5, 0.1]]])
    >>> [block] = rescaled([loud], Path())
    >>> block.amax(dim=(1, 2))
    tensor([0.2475, 0.5000])
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        shapes, peaks = [], torch.zeros(1)
        for block in blocks:
            if block.shape[-1]:
                peaks = torch.maximum(peaks, block.abs().amax(dim=(1, 2)))
            shapes.append(block.shape)
            file.write(block.contiguous().numpy().data)
        gains = 1 / (HEADROOM * peaks).clamp(min=1)
        file.seek(0)
        for shape in shapes:
            values = bytearray(file.read(4 * shape.numel()))
            block = torch.frombuffer(values, dtype=torch.float32) if values else torch.zeros(0)
            yield block.reshape(shape) * gains[:, None, None]
