"""The STFT as most separators use it: periodic Hann, centred frames, silence beyond the ends.

Others see the audio mirrored at its ends.
"""

import torch
from torch import Tensor


def stft(audio: Tensor, frame: int, hop: int, pad_mode: str = "constant") -> Tensor:
    """Transform the last axis.

    Args:
        audio: ``(..., samples)``.
        frame: length of the window in samples.
        hop: distance of two frames in samples.
        pad_mode: what lies beyond the ends: "constant" is silence, "reflect" a mirror.

    Returns:
        Complex ``(..., frame // 2 + 1, samples // hop + 1)``.

    >>> audio = torch.randn(2, 3, 1000, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(istft(stft(audio, 64, 16), 64, 16, 1000), audio, atol=1e-6)
    True
    """
    spectrum = torch.stft(
        audio.reshape(-1, audio.shape[-1]),
        n_fft=frame,
        hop_length=hop,
        window=torch.hann_window(frame, device=audio.device),
        pad_mode=pad_mode,
        return_complex=True,
    )
    return spectrum.reshape(*audio.shape[:-1], *spectrum.shape[1:])


def istft(spectrum: Tensor, frame: int, hop: int, samples: int) -> Tensor:
    """Undo :func:`stft`.

    Args:
        spectrum: complex ``(..., bins, frames)``.
        frame: as it was.
        hop: as it was.
        samples: length of the audio as it was.

    Returns:
        ``(..., samples)``.
    """
    audio = torch.istft(
        spectrum.flatten(0, -3),
        n_fft=frame,
        hop_length=hop,
        window=torch.hann_window(frame, device=spectrum.device),
        length=samples,
    )
    return audio.reshape(*spectrum.shape[:-2], samples)
