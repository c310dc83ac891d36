"""What the stages of a pipeline hand to one another."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Estimates:
    """The mixture and what the stems are estimated to be so far, aligned to the sample.

    Attributes:
        signals: ``(groups, 1 + stems, 2, samples)``, the mixture first.
        answered: ``(groups, members, samples)``: for each member so far how much its answer
            counts at a sample, from 0 to 1.
    """

    signals: Tensor
    answered: Tensor

    @classmethod
    def none(cls, groups: int, stems: int, members: int) -> "Estimates":
        """Those of no samples."""
        return cls(torch.zeros(groups, 1 + stems, 2, 0), torch.zeros(groups, members, 0))

    @classmethod
    def joined(cls, parts: Sequence["Estimates"]) -> "Estimates":
        """One after the other in time."""
        return cls(
            torch.cat([part.signals for part in parts], dim=-1),
            torch.cat([part.answered for part in parts], dim=-1),
        )

    @property
    def mixture(self) -> Tensor:
        """``(groups, 2, samples)``."""
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
