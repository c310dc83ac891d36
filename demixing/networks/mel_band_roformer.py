"""Mel-Band RoFormer: a band-split transformer whose bands overlap, like a mel filter bank.

The mask of a bin is the mean of the masks of its bands. A norm follows each transformer.

Source: Wang, Lu, Won, "Mel-band RoFormer for music source separation", 2023; layers and key names
as in Music-Source-Separation-Training.
"""

import math
from typing import Any

from demixing.networks.roformer import RoFormer, Sizes

HZ_PER_MEL = 200 / 3
"""Width of a mel below :data:`BREAK_HZ`, in Slaney's scale."""

BREAK_HZ = 1000.0
"""Frequency above which the scale is logarithmic."""

LOG_STEP = math.log(6.4) / 27
"""Logarithm of the ratio of frequencies one mel apart, above :data:`BREAK_HZ`."""


class MelBandRoFormer(RoFormer):
    """Estimates stems by masks of overlapping bands.

    Args:
        num_bands: number of bands.
        sample_rate: in Hz; the bands depend on it.
        mask_estimator_depth: hidden layers of the mask networks; one less than their linear layers.
        stereo: see :class:`demixing.networks.roformer.RoFormer`.
        stft_n_fft: likewise.
        stft_hop_length: likewise.
        zero_dc: likewise. True is the default of the training code since September 2025.
        sizes: all but ``hidden_layers`` of :class:`demixing.networks.roformer.Sizes`.

    Shape:
        ``(batch, 2, samples)`` to ``(batch, stems, 2, samples)``; more than ``stft_n_fft // 2``
        samples.

    Raises:
        ValueError: the bands are so narrow that they miss a bin.
    """

    def __init__(
        self,
        *,
        num_bands: int = 60,
        sample_rate: int = 44_100,
        mask_estimator_depth: int = 2,
        stereo: bool = True,
        stft_n_fft: int = 2048,
        stft_hop_length: int = 441,
        zero_dc: bool = True,
        **sizes: Any,
    ) -> None:
        super().__init__(
            Sizes(**sizes, hidden_layers=mask_estimator_depth),
            mel_bands(sample_rate, stft_n_fft, num_bands),
            stereo=stereo,
            stft_n_fft=stft_n_fft,
            stft_hop_length=stft_hop_length,
            zero_dc=zero_dc,
            normed_blocks=True,
        )


def mel_bands(sample_rate: int, n_fft: int, count: int) -> list[range]:
    """Return the bins inside each triangle of a mel filter bank in Slaney's scale.

    Triangle i rises from the edge i and falls to the edge i + 2; the edges are evenly spaced in
    mels from 0 Hz to half of the sample rate. Bins on the outer edges belong to no triangle; here
    the first and last bin belong to the first and last band. A band may be empty.

    Args:
        sample_rate: in Hz, more than 2000.
        n_fft: length of the STFT's window in samples.
        count: number of bands.

    >>> [len(band) for band in mel_bands(44_100, 2048, 60)][:4]
    [7, 6, 6, 6]
    """
    highest = _mel(sample_rate / 2)
    edges = [_hz(highest * index / (count + 1)) * n_fft / sample_rate for index in range(count + 2)]
    starts = [math.floor(edge) + 1 for edge in edges[:-2]]  # strictly above the edge
    stops = [math.ceil(edge) for edge in edges[2:]]  # strictly below it
    starts[0], stops[-1] = 0, n_fft // 2 + 1
    return [range(start, stop) for start, stop in zip(starts, stops, strict=True)]


def _mel(hz: float) -> float:
    """Convert a frequency above :data:`BREAK_HZ` to mels."""
    return BREAK_HZ / HZ_PER_MEL + math.log(hz / BREAK_HZ) / LOG_STEP


def _hz(mel: float) -> float:
    """Convert mels to a frequency."""
    above = mel - BREAK_HZ / HZ_PER_MEL
    return mel * HZ_PER_MEL if above < 0 else BREAK_HZ * math.exp(above * LOG_STEP)
