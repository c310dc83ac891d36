"""Four bands at a quarter of the rate, and back: the filter bank of ByteSep's subband networks.

Both directions are convolutions with centred filters of 64 samples, so there is no delay. The
filters of the published networks come with their weights. They are not cosine modulations of one
prototype (the best fit leaves an error as large as the filters), so no formula gives them. A
network that is trained from scratch uses :func:`designed` filters.

Source of the structure: Liu, Xie, Wu, Yang, "Channel-wise subband input for better voice and
accompaniment separation on high resolution music", INTERSPEECH 2020.
"""

import functools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BANDS = 4
TAPS = 64
"""Length of a filter in samples."""

STEPS = TAPS // BANDS
"""Length of a filter in samples of a band, 1/4 of the rate."""

CUTOFF = 0.07075
"""Cutoff of the designed prototype relative to the rate; from a grid search, with KAISER."""

KAISER = 9.75
"""Shape of the designed prototype's window."""


class Filters(nn.Module):
    """A convolution with weights that are saved with a network but never trained.

    Args:
        shape: of the weights, ``(outputs, inputs, taps)``.
        stride: in samples.
    """

    weight: Tensor

    def __init__(self, *shape: int, stride: int = 1) -> None:
        super().__init__()
        self._stride = stride
        self.register_buffer("weight", torch.empty(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, inputs, samples)`` to ``(b, outputs, samples / stride)``, in float32.

        This also holds under autocast: the filters of a bank must cancel each other's aliases.
        """
        with torch.autocast(x.device.type, enabled=False):
            return F.conv1d(x, self.weight, stride=self._stride)


class PQMF(nn.Module):
    """Splits audio into bands and joins them; the filters are constants, as in the original."""

    def __init__(self) -> None:
        super().__init__()
        self.ana_conv_filter = Filters(BANDS, 1, TAPS, stride=BANDS)
        self.syn_conv_filter = Filters(BANDS, BANDS, STEPS)
        analysis, synthesis = designed()
        self.ana_conv_filter.weight.copy_(analysis)
        self.syn_conv_filter.weight.copy_(synthesis)

    def analysis(self, audio: Tensor) -> Tensor:
        """Split the last axis.

        Args:
            audio: ``(..., samples)``, a multiple of 4.

        Returns:
            ``(..., 4, samples / 4 + 16)``: synthesis needs samples beyond the end.
        """
        flat = F.pad(audio.reshape(-1, 1, audio.shape[-1]), (TAPS - BANDS, TAPS))
        bands: Tensor = self.ana_conv_filter(flat)
        return bands.reshape(*audio.shape[:-1], *bands.shape[1:])

    def synthesis(self, bands: Tensor) -> Tensor:
        """Undo :meth:`analysis`: ``(..., 4, samples / 4 + 16)`` to ``(..., samples)``."""
        flat = F.pad(bands.reshape(-1, BANDS, bands.shape[-1]), (0, STEPS - 1))
        audio = self.syn_conv_filter(flat).transpose(1, 2).flatten(1)[:, :-TAPS]
        return audio.reshape(*bands.shape[:-2], -1)  # type: ignore[no-any-return]


@functools.cache
def designed() -> tuple[Tensor, Tensor]:
    """Design the filters of both directions.

    The analysis is a prototype, a low-pass of 64 samples, modulated by cosines (Vaidyanathan,
    "Multirate systems and filter banks", 1993, section 8.3). That bank's own synthesis would
    reconstruct to about 40 dB. But the reconstruction is linear in the synthesis filters, so here
    they are the least squares solution, with an error of -78.7 dB for noise.

    Returns:
        Kernels of convolutions: analysis ``(4, 1, 64)`` and synthesis ``(4, 4, 16)``.
    """
    with torch.device("cpu"):  # also while a network is built on the meta device
        time = torch.arange(TAPS, dtype=torch.float64) - (TAPS - 1) / 2
        window = torch.kaiser_window(TAPS, periodic=False, beta=KAISER, dtype=torch.float64)
        # Bands are 1/8 of the rate wide. The cutoff is half of that, plus an offset that minimises
        # the error.
        prototype = torch.sinc(2 * CUTOFF * time) * 2 * CUTOFF * window
        band = torch.arange(BANDS, dtype=torch.float64)[:, None]
        turn = (-1) ** band * math.pi / 4
        analysis = 2 * prototype * torch.cos((2 * band + 1) * math.pi / (2 * BANDS) * time + turn)
        # Output 4 m + r depends on the samples 4 (m - 15) to 4 (m + 15) + 3, and should equal
        # sample 4 m + r. Step s of the synthesis reads the output of step s of the analysis.
        span = TAPS + TAPS - BANDS
        through = torch.zeros(span, BANDS, STEPS, dtype=torch.float64)
        for step in range(STEPS):
            through[step * BANDS : step * BANDS + TAPS, :, step] = analysis.T
        wanted = torch.zeros(span, BANDS, dtype=torch.float64)
        wanted[TAPS - BANDS : TAPS] = torch.eye(BANDS, dtype=torch.float64)
        synthesis = torch.linalg.lstsq(through.flatten(1), wanted).solution
        return analysis[:, None].float(), synthesis.T.reshape(BANDS, BANDS, STEPS).float()
