"""The data passed between the stages of a pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Estimates:
    """The mixture and the current estimates of the stems, aligned to the sample.

    Attributes:
        signals: ``(groups, 1 + stems, 2, samples)``, the mixture first.
        answered: ``(groups, members, samples)``: how much each member so far counts at each sample,
            from 0 to 1.
    """

    signals: Tensor
    answered: Tensor

    @classmethod
    def none(cls, groups: int, stems: int, members: int) -> "Estimates":
        """Empty estimates."""
        return cls(torch.zeros(groups, 1 + stems, 2, 0), torch.zeros(groups, members, 0))

    @classmethod
    def joined(cls, parts: Sequence["Estimates"]) -> "Estimates":
        """Concatenate estimates in time."""
        return cls(
            torch.cat([part.signals for part in parts], dim=-1),
            torch.cat([part.answered for part in parts], dim=-1),
        )

    @property
    def mixture(self) -> Tensor:
        """The mixture, ``(groups, 2, samples)``."""
        return self.signals[:, 0]

    @property
    def samples(self) -> int:
        """Length of the last axis."""
        return self.signals.shape[-1]

    def split(self, samples: int) -> tuple["Estimates", "Estimates"]:
        """The first ``samples`` samples, and the rest."""
        return (
            Estimates(self.signals[..., :samples], self.answered[..., :samples]),
            Estimates(self.signals[..., samples:], self.answered[..., samples:]),
        )
