"""Changes the sample rate of audio that comes block by block."""

import numpy as np
import soxr
import torch
from torch import Tensor


class Resampler:
    """Streams audio from one sample rate to another; the identity if they are equal.

    Args:
        from_hz: sample rate of the input.
        to_hz: sample rate of the output.
        waveforms: number of waveforms that are resampled in parallel.

    Shape:
        in and out ``(..., samples)``; the product of all axes but the last is ``waveforms``.
    """

    def __init__(self, from_hz: int, to_hz: int, waveforms: int) -> None:
        self._same = from_hz == to_hz
        self._stream = soxr.ResampleStream(from_hz, to_hz, waveforms, dtype="float32", quality="HQ")

    def push(self, block: Tensor, *, last: bool = False) -> Tensor:
        """Resample a block; return the samples that are ready.

        Args:
            block: ``(..., samples)``.
            last: whether the song ends with it; then all that are left are returned, too.

        Returns:
            ``(..., samples')`` at the new rate.
        """
        if self._same:
            return block
        # Waveform by waveform: up to five times as fast as copying the transposed array.
        frames = np.stack([*block.flatten(0, -2).numpy()], axis=-1)
        done = self._stream.resample_chunk(frames, last=last)
        samples = np.ascontiguousarray(done.T)
        return torch.from_numpy(samples).reshape(*block.shape[:-1], samples.shape[-1])
