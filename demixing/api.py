"""The library's front door: :class:`Separator` turns audio in memory into stems.

It has no deadline, starts no process and catches nothing: errors are raised. The commands separate
files in constant memory instead; see :func:`demixing.engine.separate_file.separate_file`.
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
    """Separates whole songs with one recipe; build it once, call it for each song.

    Args:
        recipe: a name from ``demixing list``, such as ``mdx_default`` or ``cdx_default``, or the
            path of a recipe's TOML file.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; None takes the GPU if there is one.
        best: take all the test-time augmentation that the recipe knows of. Slower, and better.
        progress: is called with each :class:`~demixing.engine.progress.Progress` event.

    Attributes:
        stems: names of the stems.
        missing: optional members of the recipe that are left out because their weights are not on
            this machine; ``demixing fetch recommended`` downloads them.

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
            audio: floats with full scale at ±1. An array of numpy is ``(samples, channels)``, as
                soundfile reads it; a tensor of torch is ``(channels, samples)``. Mono may be
                ``(samples,)`` in both. At most 16 channels. Not modified.
            sample_rate_hz: 8000 to 192000.

        Returns:
            For each stem what ``audio`` is: same type, shape, precision and device.

        Raises:
            SongError: the audio is empty, not finite, or of another shape or type.
            OutputError: a separator answered with a NaN or an infinity.
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
"""Samples that are handed on at a time."""


def as_song(given: object) -> Tensor:
    """Map audio of a caller to a float32 tensor ``(channels, samples)`` on the CPU.

    Raises:
        SongError: it is no array or tensor of floats of one or two axes with a sample at least.
    """
    if not isinstance(given, np.ndarray | Tensor):
        raise SongError(
            f"expected an array of numpy or a tensor of torch, got {type(given).__name__}"
        )
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
        with np.errstate(over="ignore"):  # what overflows is refused as an infinity
            song = torch.from_numpy(np.array(given.T, dtype=np.float32, order="C"))
    return song.reshape(-1, song.shape[-1])


def as_given(separated: Tensor, given: Audio) -> Audio:
    """Map one stem, ``(channels, samples)``, to the type and shape of the caller's audio."""
    if isinstance(given, Tensor):
        return separated.to(given.device, given.dtype).reshape(given.shape)
    return np.ascontiguousarray(separated.numpy().T, dtype=given.dtype).reshape(given.shape)
