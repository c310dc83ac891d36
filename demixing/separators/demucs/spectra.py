"""The end of hybrid Demucs, v3 and v4: spectra of the stems and their inverse STFT.

Demucs copies a network's output three times, transforms all frames at once, and divides by the sum
of their windows. Here, a few frames are made and transformed at a time, and the sum is a constant:
frames are Hann windows w of four hops, and every sample that is kept is covered by four of them, so
sum_k w(t - k hop)**2 = 1.5.
"""

import functools
from typing import Any

import torch
from torch import Tensor, nn

from demixing.networks import fused
from demixing.networks.convolutions import fixed
from demixing.networks.rewrites import Decoder
from demixing.networks.stft import overlap, overlapped


class LastLayer(nn.Module):
    """A transposed convolution over bins and the inverse STFT, a few frames at a time.

    With a stride of s and a kernel of m s taps, each output bin depends on m input bins. So a
    convolution of m taps computes s neighbouring output bins as channels.

    Args:
        layer: the last decoder, which :meth:`fits`. Its weights are copied.
    """

    def __init__(self, layer: Decoder) -> None:
        super().__init__()
        original: Any = layer.conv_tr
        weight: Tensor = original.weight[..., 0]  # (inputs, outputs, taps)
        self.stride, self.crop = original.how["stride"][0], original.how["padding"][0]
        taps = weight.unflatten(2, (-1, self.stride)).flip(2)  # type: ignore[no-untyped-call]
        kernel = taps.permute(3, 1, 0, 2).flatten(0, 1)[..., None]
        self.weight = fixed(kernel, weight.dtype, memory_format=torch.channels_last)
        self.bias = fixed(original.bias.repeat(self.stride), weight.dtype)
        self.how = {
            "stride": (1, 1),
            "padding": (taps.shape[2] - 1, 0),
            "dilation": (1, 1),
            "groups": 1,
        }

    @staticmethod
    def fits(layer: Decoder) -> bool:
        """Return whether a decoder ends with a transposed convolution of this kind."""
        convolution: Any = layer.conv_tr
        taps, how = convolution.weight.shape[2:], convolution.how
        cropped = 2 * how["padding"][0]  # else it has another number of bins
        return (
            isinstance(layer.norm2, nn.Identity)
            and layer.last
            and taps[0] % how["stride"][0] == 0
            and taps[0] - how["stride"][0] == cropped
            and (taps[1], how["stride"][1], how["padding"][1], how["groups"]) == (1, 1, 0, 1)
            and convolution.bias is not None
            and tuple(how["dilation"]) == (1, 1)
        )

    def audio(self, x: Tensor, mean: Tensor, deviation: Tensor, samples: int) -> Tensor:
        """Return the audio of all outputs.

        Args:
            x: input of the transposed convolution, ``(b, c, f, t)``.
            mean: is added to all bins, ``(b, 1, 1, 1)``.
            deviation: all bins are multiplied by this first, ``(b, 1, 1, 1)``.
            samples: length of the audio.

        Returns:
            ``(b * outputs / 2, samples)``; two outputs are a real and an imaginary part.
        """
        bins = self.stride * x.shape[2]

        def spectrum(start: int, end: int) -> Tensor:
            y = fused.convolve(x[..., start:end], self.weight, self.bias, self.how)
            y = y.float().mul_(deviation).add_(mean)
            y = y.view(len(x), self.stride, -1, 2, *y.shape[2:])  # b, stride, signals, 2, f, t
            pairs = y.permute(0, 2, 5, 4, 1, 3).contiguous()
            return torch.view_as_complex(pairs.flatten(0, 1).flatten(2, 3))[
                ..., self.crop : self.crop + bins
            ]

        signals = len(x) * self.weight.shape[0] // (2 * self.stride)
        window, hop, offset = _synthesis(2 * bins)
        audio = overlap(spectrum, signals, x.shape[-1], window, hop)
        return audio[:, offset : offset + samples]


def replace_inverse(network: Any) -> None:
    """Give a network of demucs the faster inverse; other networks are left alone.

    Args:
        network: changed in place. Networks of v3's first version have frames at other places.
    """
    hybrid = getattr(network, "hybrid", True) and not getattr(network, "hybrid_old", False)
    if hybrid and hasattr(network, "_ispec"):
        network._ispec = functools.partial(inverse, network._ispec)


def whole_inverse(network: Any, outputs: Tensor, samples: int) -> Tensor:
    """Return the audio of all outputs by demucs' own inverse STFT, on devices other than a CPU.

    Args:
        network: of demucs.
        outputs: ``(b, outputs, bins, t)``; two outputs are a real and an imaginary part.
        samples: length of the audio.

    Returns:
        ``(b, stems, outputs / stems / 2, samples)`` on the device of ``outputs``.
    """
    device = outputs.device
    if device.type in ("mps", "xpu"):  # they have no complex numbers
        outputs = outputs.cpu()
    outputs = outputs.reshape(len(outputs), len(network.sources), -1, *outputs.shape[2:])
    audio: Tensor = network._ispec(network._mask(None, outputs), samples)
    return audio.to(device)


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
    window, hop, start = _synthesis(2 * spectrum.shape[-2])
    audio = overlapped(spectrum.flatten(0, -3), window, hop)[:, start : start + length]
    return audio.view(*spectrum.shape[:-2], length)


def _synthesis(frame: int) -> tuple[Tensor, int, int]:
    """Return the window of the inverse, the hop, and where the audio starts in the first frame."""
    hop = frame // 4
    return torch.hann_window(frame) * (frame**0.5 / 1.5), hop, 3 * hop // 2
