"""Ignores one member of an ensemble where it disagrees with all others.

If the difference exceeds a given fraction of the mixture's energy, the others' blend is used alone.

A network that is the best on nearly every song can be badly wrong on one that is unlike all its
training data. If it mistakes a sub-bass for drums, its bass differs from that of all other members,
and the bass is most of the song. Fitted weights do not help, since on all other songs they are
right to give it everything. But the disagreement can be measured without knowing which side is
right: it is the energy of the difference between the member's stem and the others' blend, as a
part of the mixture's energy. Where that is large, the others' blend is used without the member.

The decision is made every ten seconds, from the song so far. It need not wait for the end of the
song, and the beginning is judged on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from demixing.errors import ConfigError

if TYPE_CHECKING:  # reading a recipe must not cost the seconds that torch takes to import
    from torch import Tensor

CELL_S, FADE_S = 10, 1
"""Duration of a decision, and of the fade to the next one."""

TINY = 1e-12
"""Lower bound of divisors, in energy: two silent stems do not disagree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """How much a member may disagree with the members before it.

    Attributes:
        stem: the one that is compared.
        least: up to this disputed fraction of the mixture's energy, the member counts in full.
        most: from this disputed fraction on, it does not count at all.

    >>> doubt = Doubt(stem="bass", least=0.4, most=0.6)
    >>> [round(doubt.trust(part), 2) for part in (0.1, 0.45, 0.6, 2.0)]
    [1.0, 0.75, 0.0, 0.0]
    """

    stem: str
    least: float
    most: float

    def __post_init__(self) -> None:
        if not 0 <= self.least < self.most:
            raise ConfigError(f"expected 0 <= least < most, got {self.least} and {self.most}")

    def trust(self, disputed: float) -> float:
        """Weight of the member where this fraction of the mixture's energy is disputed."""
        return min(max((self.most - disputed) / (self.most - self.least), 0.0), 1.0)


class Trust:
    """The running weight of a member during a song.

    Args:
        doubt: the thresholds.
        sample_rate_hz: of the song.
        groups: stereo pairs of the song; each is judged on its own.

    Attributes:
        cell: samples per decision.
    """

    def __init__(self, doubt: Doubt, sample_rate_hz: int, groups: int) -> None:
        import torch

        self.cell = CELL_S * sample_rate_hz
        self._doubt = doubt
        self._fade = FADE_S * sample_rate_hz
        self._disputed = torch.zeros(groups, dtype=torch.float64)
        self._whole = torch.zeros(groups, dtype=torch.float64)
        self._before: Tensor | None = None

    def of(self, difference: Tensor, mixture: Tensor) -> Tensor:
        """Judge the next samples.

        Args:
            difference: between the member's stem and the others', ``(groups, 2, samples)``; zero
                where either is not valid. The length must be a multiple of a cell, except in the
                last call.
            mixture: of the same shape.

        Returns:
            Weights from 0 to 1, ``(groups, 1, samples)``.
        """
        import torch

        if not mixture.shape[-1]:
            return mixture[:, :1]
        cells = (torch.split(signal, self.cell, dim=-1) for signal in (difference, mixture))
        return torch.cat([self._judged(*cell) for cell in zip(*cells, strict=True)], dim=-1)

    def _judged(self, difference: Tensor, mixture: Tensor) -> Tensor:
        """Judge one cell by the song so far, and fade from the previous decision."""
        import torch

        self._disputed += difference.double().square().sum(dim=(1, 2))
        self._whole += mixture.double().square().sum(dim=(1, 2))
        parts = (self._disputed / self._whole.clamp(min=TINY)).tolist()
        now = torch.tensor([self._doubt.trust(part) for part in parts]).to(mixture)[:, None, None]
        before = now if self._before is None else self._before
        self._before = now
        ramp = (torch.arange(1, mixture.shape[-1] + 1) / self._fade).clamp(max=1).to(mixture)
        return before + ramp * (now - before)
