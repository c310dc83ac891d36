"""The inverse STFT of hybrid Demucs, v3 and v4, in fewer passes over memory.

Demucs copies a network's output three times, transforms all frames at once, and divides by the sum
of their windows. Here, blocks of frames are read from the output in its own layout, and the sum is
a constant: frames are Hann windows w of four hops, and every sample that is kept is covered
by four of them, so sum_k w(t - k hop)**2 = 1.5.
"""

import functools
from typing import Any

import torch
from torch import Tensor

from demixing.networks.stft import overlapped


def replace_inverse(network: Any) -> None:
    """Give a network of demucs the faster inverse; other networks are left alone.

    Args:
        network: changed in place. Networks of v3's first version have frames at other places.
    """
    hybrid = getattr(network, "hybrid", True) and not getattr(network, "hybrid_old", False)
    if hybrid and hasattr(network, "_ispec"):
        network._ispec = functools.partial(inverse, network._ispec)
        if network.cac:
            network._mask = as_complex


def as_complex(_mixture: Tensor, outputs: Tensor) -> Tensor:
    """View a network's output as a spectrum, without a copy if its channels are last in memory.

    Args:
        _mixture: the mixture's spectrum, which is not needed.
        outputs: ``(batch, stems, 2 * channels, bins, frames)``, with a real and an imaginary part
            for each channel.

    Returns:
        Complex ``(batch, stems, channels, bins, frames)``.
    """
    batch, stems, _, bins, frames = outputs.shape
    pairs = outputs.view(batch, stems, -1, 2, bins, frames).movedim(3, -1)
    return torch.view_as_complex(pairs if pairs.stride(-1) == 1 else pairs.contiguous())


def inverse(original: Any, spectrum: Tensor, length: int) -> Tensor:
    """Transform a spectrum without its highest bin into audio.

    Args:
        original: the method of demucs, used on other devices than the CPU.
        spectrum: complex ``(..., bins, frames)``. Demucs' first frame starts one and a half hops
            before the audio.
        length: of the audio in samples.

    Returns:
        ``(..., length)``.
    """
    if spectrum.device.type != "cpu":
        return original(spectrum, length)  # type: ignore[no-any-return]
    frame = 2 * spectrum.shape[-2]
    hop, start = frame // 4, 3 * (frame // 4) // 2
    window = torch.hann_window(frame) * (frame**0.5 / 1.5)
    audio = overlapped(spectrum.flatten(0, -3), window, hop)[:, start : start + length]
    return audio.view(*spectrum.shape[:-2], length)
