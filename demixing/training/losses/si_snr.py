"""Negative scale-invariant signal-to-noise ratio of each channel, in dB.

The projection of an estimate on its stem is signal, and the rest is noise. So networks do not learn
the level of a stem, which the leaderboards' SDR penalises. A silent stem has the value 0, and no
gradient.

Source: Le Roux, Wisdom, Erdogan, Hershey, "SDR - half-baked or well done?", ICASSP 2019. Channels
are compared one by one and their means are removed, as in the configurations that ours are based
on.
"""

import torch
from torch import Tensor

from demixing.training.loss_helpers import exact

EPSILON = 1e-8
"""Added to energies."""


class NegativeSiSnr:
    """See the module and :class:`demixing.training.losses.Loss`."""

    def __call__(self, estimate: Tensor, stems: Tensor) -> Tensor:
        """See :class:`demixing.training.losses.Loss`."""
        return _value(*exact(estimate, stems))

    def blocks(self, estimate: Tensor, stems: Tensor, count: int) -> Tensor:
        """See :class:`demixing.training.losses.Loss`."""
        estimate, stems = exact(estimate, stems)
        samples = stems.shape[-1]
        if not 1 <= count <= samples:
            raise ValueError(f"expected 1 to {samples} blocks of {samples} samples, got {count}")
        parts = (audio.tensor_split(count, dim=-1) for audio in (estimate, stems))
        return torch.stack([_value(*pair) for pair in zip(*parts, strict=True)], dim=-1)


def _value(estimate: Tensor, stems: Tensor) -> Tensor:
    """The loss of estimate and stems, ``(batch, stems, 2, samples)``, as ``(batch, stems)``."""
    silent = ~stems.any(dim=-1)
    estimate, stems = (audio - audio.mean(dim=-1, keepdim=True) for audio in (estimate, stems))
    along = (estimate * stems).sum(dim=-1, keepdim=True)
    signal = stems * (along / (stems.square().sum(dim=-1, keepdim=True) + EPSILON))
    noise = (estimate - signal).square().sum(dim=-1)
    ratio = (noise + EPSILON) / (signal.square().sum(dim=-1) + EPSILON)
    return (10 * ratio.log10()).masked_fill(silent, 0.0).mean(dim=2)


def build() -> NegativeSiSnr:
    """Build the loss; it has no options."""
    return NegativeSiSnr()
