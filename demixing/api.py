"""The library's entry point: :class:`Separator` separates audio in memory.

It has no deadline, starts no process and raises all errors. The commands separate files in constant
memory instead; see :func:`demixing.engine.separate_file.separate_file`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demixing import audio
from demixing.engine.demixer import Demixer
from demixing.engine.normalisation import SongStatistics
from demixing.errors import SongError
from demixing.machine import threads
from demixing.machine.device import on_device
from demixing.recipes import reading

if TYPE_CHECKING:
    from demixing.engine.progress import Report

Audio = TypeVar("Audio", NDArray[Any], Tensor)


class Separator:
    """Separates whole songs with one recipe. Build it once, then call it for each song.

    Args:
        recipe: a name from ``demixing list``, such as ``mdx_default`` or ``cdx_default``, or the
            path of a recipe's TOML file.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; None uses the GPU if there is one.
        best: use all test-time augmentation that the recipe lists. Slower, and better.
        progress: called with each :class:`~demixing.engine.progress.Progress` event.

    Attributes:
        stems: names of the stems.
        missing: optional members of the recipe that are left out because their weights are not
            installed; ``demixing fetch recommended`` downloads them.

    Raises:
        ConfigError: there is no such recipe or device.
        CheckpointError: weights are missing or damaged.

    >>> separator = Separator("mdx_equal_shares")
    >>> stems = separator(np.ones((1000, 2), dtype=np.float32), 44_100)
    >>> {stem: array.shape for stem, array in stems.items()}
    {'bass': (1000, 2), 'drums': (1000, 2), 'other': (1000, 2), 'vocals': (1000, 2)}
    """

    def __init__(
        self,
        recipe: str | Path = "mdx_default",
        *,
        device: str | None = None,
        best: bool = False,
        progress: Report | None = None,
    ) -> None:
        self._best = best
        self._progress = progress
        threads.limit()
        with on_device(device):
            self._demixer = Demixer(reading.load(str(recipe)))
        self.stems = self._demixer.recipe.track.stems
        self.missing = self._demixer.absent

    def __call__(self, audio: Audio, sample_rate_hz: int) -> dict[str, Audio]:
        """Separate one song.

        Args:
            audio: floats with full scale at ±1. A NumPy array is ``(samples, channels)``, as
                soundfile reads it; a torch tensor is ``(channels, samples)``. Mono may be
                ``(samples,)`` in either. At most 16 channels. Not modified.
            sample_rate_hz: 8000 to 192000.

        Returns:
            One entry per stem, with the type, shape, precision and device of ``audio``.

        Raises:
            SongError: the audio is empty, not finite, or has an unsupported shape or type.
            OutputError: a separator returned a NaN or an infinity.
        """
        song = as_song(audio)
        blocks = torch.split(song, BLOCK, dim=-1)
        statistics = SongStatistics.of(blocks) if self._demixer.normalises else None
        stream = self._demixer.stream(
            blocks,
            sample_rate_hz,
            samples=song.shape[-1],
            best=self._best,
            statistics=statistics,
            report=self._progress,
        )
        stems = torch.cat(list(stream), dim=-1)
        return {
            stem: as_given(separated, audio)
            for stem, separated in zip(self.stems, stems, strict=True)
        }


BLOCK = audio.BLOCK
"""Samples per block."""


def as_song(given: object) -> Tensor:
    """Convert the caller's audio to a float32 tensor ``(channels, samples)`` on the CPU.

    Raises:
        SongError: it is not a non-empty array or tensor of floats with one or two axes.
    """
    if not isinstance(given, np.ndarray | Tensor):
        raise SongError(f"expected a NumPy array or a torch tensor, got {type(given).__name__}")
    if not (given.is_floating_point() if isinstance(given, Tensor) else given.dtype.kind == "f"):
        raise SongError(
            f"expected floats with full scale at 1, got {given.dtype}; "
            "divide integers by their full scale"
        )
    order = "(channels, samples)" if isinstance(given, Tensor) else "(samples, channels)"
    if given.ndim not in (1, 2) or 0 in given.shape:
        raise SongError(f"expected audio of shape {order} or (samples,), got {tuple(given.shape)}")
    if isinstance(given, Tensor):
        song = given.detach().to("cpu", torch.float32)
    else:
        with np.errstate(over="ignore"):  # an overflow is rejected later as an infinity
            song = torch.from_numpy(np.array(given.T, dtype=np.float32, order="C"))
    return song.reshape(-1, song.shape[-1])


def as_given(separated: Tensor, given: Audio) -> Audio:
    """Convert one stem, ``(channels, samples)``, to the type and shape of the caller's audio."""
    if isinstance(given, Tensor):
        return separated.to(given.device, given.dtype).reshape(given.shape)
    return np.ascontiguousarray(separated.numpy().T, dtype=given.dtype).reshape(given.shape)
