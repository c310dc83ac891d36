"""The STFT with a periodic Hann window, as most separators use it.

:func:`stft` has centred frames; beyond its ends, the audio is padded with zeros or mirrored.
:func:`frames_of` only has frames inside the audio, for chunks that are parts of one long sequence
of frames.

On the CPU, the inverse runs here instead of in torch.istft. It adds up blocks of frames that stay
in the cache, which takes a quarter to two thirds of the time; see docs/decisions/020-overlap.md.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

TINY = 1e-6
"""Lower bound of the window sum that samples are divided by: -120 dB."""

BLOCK = 2**18
"""Samples of the frames that are transformed at once: 1 MiB, the size of a second-level cache."""


def stft(audio: Tensor, frame: int, hop: int, pad_mode: str = "constant") -> Tensor:
    """Transform the last axis.

    Args:
        audio: ``(..., samples)``.
        frame: length of the window in samples.
        hop: distance of two frames in samples.
        pad_mode: padding beyond the ends: "constant", zeros; "reflect", mirrored audio.

    Returns:
        Complex ``(..., frame // 2 + 1, samples // hop + 1)``.

    >>> audio = torch.randn(2, 3, 1000, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(istft(stft(audio, 64, 16), 64, 16, 1000), audio, atol=1e-6)
    True
    """
    return _transform(audio, frame, hop, pad_mode=pad_mode)


def istft(spectrum: Tensor, frame: int, hop: int, samples: int) -> Tensor:
    """Invert :func:`stft`.

    Args:
        spectrum: complex ``(..., bins, frames)``.
        frame: length of the window in samples, as in :func:`stft`.
        hop: hop in samples, as in :func:`stft`.
        samples: length of the audio.

    Returns:
        ``(..., samples)``.
    """
    flat = spectrum.flatten(0, -3)
    if flat.device.type == "cpu" and not (torch.is_grad_enabled() and flat.requires_grad):
        audio = _centred(flat, frame, hop, samples)
    else:
        audio = torch.istft(
            flat,
            n_fft=frame,
            hop_length=hop,
            window=torch.hann_window(frame, device=flat.device),
            length=samples,
        )
    return audio.reshape(*spectrum.shape[:-2], samples)


def overlapped(spectrum: Tensor, window: Tensor, hop: int) -> Tensor:
    """Transform frames back, multiply them by a window, and add them up.

    Args:
        spectrum: complex ``(signals, bins, frames)`` in any layout; missing upper bins are zero.
        window: real ``(frame,)``.
        hop: distance of two frames in samples.

    Returns:
        ``(signals, samples)`` from the start of the first frame to the end of the last one, and
        zeros up to a whole number of hops.
    """

    def part(start: int, end: int) -> Tensor:
        piece = spectrum[..., start:end]
        # Reading along bins is slow where frames are adjacent, above all with 2**n of them.
        return (piece.contiguous() if piece.stride(-1) == 1 else piece).transpose(1, 2)

    return overlap(part, spectrum.shape[0], spectrum.shape[2], window, hop)


def overlap(
    spectrum: Callable[[int, int], Tensor], signals: int, frames: int, window: Tensor, hop: int
) -> Tensor:
    """Do the same with a spectrum that is computed a few frames at a time.

    Args:
        spectrum: returns the frames from a first one to before another one, complex
            ``(signals, frames, bins)``.
        signals: number of them.
        frames: number of them.
        window: see :func:`overlapped`.
        hop: see :func:`overlapped`.

    Returns:
        See :func:`overlapped`.
    """
    frame, slices = len(window), -(-len(window) // hop)
    total = window.new_zeros(signals, frames + slices - 1, hop)
    block = max(BLOCK // (signals * frame), 1)
    for first in range(0, frames, block):
        part = spectrum(first, min(first + block, frames))
        audio = torch.fft.irfft(part, n=frame).mul_(window)
        for index in range(slices):
            piece = audio[..., index * hop : (index + 1) * hop]
            start = first + index
            total[:, start : start + piece.shape[1], : piece.shape[-1]] += piece
    return total.flatten(1)


def frames_of(audio: Tensor, frame: int, hop: int) -> Tensor:
    """Transform the last axis; the first frame starts with the audio, and the last ends with it.

    Args:
        audio: ``(..., samples)``, a whole number of hops.
        frame: length of the window in samples.
        hop: distance of two frames in samples.

    Returns:
        Complex ``(..., frame // 2 + 1, (samples - frame) // hop + 1)``.
    """
    return _transform(audio, frame, hop, center=False)


def from_frames(spectrum: Tensor, frame: int, hop: int) -> Tensor:
    """Invert :func:`frames_of`, except for the first sample, where the window is zero.

    Args:
        spectrum: complex ``(..., bins, frames)``.
        frame: length of the window in samples: four hops.
        hop: distance of two frames in samples.

    Returns:
        ``(..., samples)``.

    >>> audio = torch.randn(2, 3, 1024, generator=torch.Generator().manual_seed(0))
    >>> again = from_frames(frames_of(audio, 64, 16), 64, 16)
    >>> torch.allclose(again[..., 1:], audio[..., 1:], atol=1e-4)
    True
    """
    window = torch.hann_window(frame, device=spectrum.device) / 1.5  # see of_frames
    audio = overlapped(spectrum.flatten(0, -3), window, hop)
    audio = audio / of_frames(hop, audio.shape[-1]).to(audio).clamp(min=TINY)
    return audio.reshape(*spectrum.shape[:-2], -1)


def of_frames(hop: int, samples: int) -> Tensor:
    """Return the weight of a chunk's own frames among all frames that cover each sample.

    Frames are Hann windows w of four hops, applied twice, so sum_k w(t - k hop)**2 = 1.5. In the
    first and last three hops, frames of the neighbouring chunks have the rest.

    Args:
        hop: distance of two frames in samples.
        samples: length of the chunk.

    Returns:
        From 0 to 1, ``(samples,)``.

    >>> of_frames(1, 8)
    tensor([0.0000, 0.1667, 0.8333, 1.0000, 1.0000, 1.0000, 0.8333, 0.1667])
    """
    squared = torch.hann_window(4 * hop, dtype=torch.float64).square().reshape(4, hop)
    rise = squared.cumsum(dim=0).flatten()[: 3 * hop] / 1.5
    part = torch.ones(samples, dtype=torch.float64)
    part[: 3 * hop] = rise
    part[samples - 3 * hop :] -= rise
    return part.float()


def _transform(audio: Tensor, frame: int, hop: int, **frames: Any) -> Tensor:
    """Transform the last axis; ``frames`` are arguments of torch.stft that position the frames."""
    spectrum = torch.stft(
        audio.reshape(-1, audio.shape[-1]),
        n_fft=frame,
        hop_length=hop,
        window=torch.hann_window(frame, device=audio.device),
        return_complex=True,
        **frames,
    )
    return spectrum.reshape(*audio.shape[:-1], *spectrum.shape[1:])


def _centred(spectrum: Tensor, frame: int, hop: int, samples: int) -> Tensor:
    """Invert :func:`stft` for ``(signals, bins, frames)``."""
    window = torch.hann_window(frame, dtype=spectrum.real.dtype)
    start = frame // 2
    audio = overlapped(spectrum, window, hop)[:, start : start + samples]
    audio = audio / _squares(frame, hop, spectrum.shape[-1])[start : start + samples].to(audio)
    return F.pad(audio, (0, samples - audio.shape[-1]))


@functools.lru_cache(maxsize=8)
def _squares(frame: int, hop: int, frames: int) -> Tensor:
    """The sum of the squared windows of some frames, at each sample of :func:`overlapped`."""
    slices = -(-frame // hop)
    squared = F.pad(torch.hann_window(frame).square(), (0, slices * hop - frame))
    total = torch.zeros(frames + slices - 1, hop)
    for index, piece in enumerate(squared.reshape(slices, hop)):
        total[index : index + frames] += piece
    return total.flatten().clamp(min=TINY)
