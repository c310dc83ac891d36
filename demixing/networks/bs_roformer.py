"""BS-RoFormer: a band-split transformer whose bands are adjacent.

The masks of the bands are joined. One norm follows all transformers.

Source: Lu, Wang, Kong, Hung, "Music source separation with band-split RoPE transformer", ICASSP
2024; layers and key names as in Music-Source-Separation-Training.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from demixing.networks.roformer import RoFormer, Sizes

FREQS_PER_BANDS = (*(2,) * 24, *(4,) * 12, *(12,) * 8, *(24,) * 8, *(48,) * 8, 128, 129)
"""Bins of each of the 62 bands that nearly all published files have."""


class BSRoFormer(RoFormer):
    """Estimates stems by masks of adjacent bands.

    Args:
        freqs_per_bands: number of bins of each band, from the lowest; all bins together.
        mask_estimator_depth: linear layers of the mask networks.
        stereo: see :class:`demixing.networks.roformer.RoFormer`.
        stft_n_fft: likewise.
        stft_hop_length: likewise.
        zero_dc: likewise. True is the default of the training code since September 2025.
        sizes: all but ``hidden_layers`` of :class:`demixing.networks.roformer.Sizes`.

    Shape:
        ``(batch, 2, samples)`` to ``(batch, stems, 2, samples)``; more than ``stft_n_fft // 2``
        samples.

    Raises:
        ValueError: the bands do not contain all bins.
    """

    def __init__(
        self,
        *,
        freqs_per_bands: Sequence[int] = FREQS_PER_BANDS,
        mask_estimator_depth: int = 2,
        stereo: bool = True,
        stft_n_fft: int = 2048,
        stft_hop_length: int = 441,
        zero_dc: bool = True,
        **sizes: Any,
    ) -> None:
        super().__init__(
            Sizes(**sizes, hidden_layers=mask_estimator_depth - 1),
            adjacent(freqs_per_bands),
            stereo=stereo,
            stft_n_fft=stft_n_fft,
            stft_hop_length=stft_hop_length,
            zero_dc=zero_dc,
            normed_blocks=False,
        )


def adjacent(freqs_per_bands: Sequence[int]) -> list[range]:
    """Return the bins of adjacent bands.

    >>> adjacent([2, 3])
    [range(0, 2), range(2, 5)]
    """
    edges = itertools.accumulate(freqs_per_bands, initial=0)
    return [range(start, stop) for start, stop in itertools.pairwise(edges)]
