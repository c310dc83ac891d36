"""Leaves out the highest values of another loss: for stems with label noise or bleeding.

What a network cannot learn from the other examples is probably wrong in the data. For each stem,
the values of a batch at or above a quantile get the weight 0, and the others correspondingly more.
With ``blocks = 1`` these are values of whole examples, for stems with wrong labels (leaderboard A
of MDX'23). With more blocks they are values of blocks of time, for bleeding, which comes and goes
(leaderboard B).

Both leaderboards were won this way, A by CCOM, and B by KUIELab, who masked squared errors: for A
whole examples at a quantile of 0.4 in batches of six, for B single samples at 0.93.

Source: Kim, Lee, Jung, "Sound Demixing Challenge 2023 music demixing track technical report:
TFC-TDF-UNet v3", arXiv:2306.09382, and their code for both leaderboards (settings); Kang,
Hashimoto, "Improved natural language generation via loss truncation", ACL 2020.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from demixing.training import losses
from demixing.training.losses import Loss

WITHIN = ("batch", "example")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    """The lower values of another loss; see :class:`demixing.training.losses.Loss`.

    Values are scaled so that the mean over all values is the mean of the kept ones, for each stem.
    If several processes train together, the quantile is that of the batch of all of them.

    Attributes:
        loss: the other loss.
        quantile: fraction of the values to keep, above 0 and below 1.
        count: blocks of time in each example.
        within: "batch": one quantile for the values of a stem in all examples; "example": one for
            each example.
        after_steps: number of steps at the start of training in which all values count.
    """

    loss: Loss
    quantile: float
    count: int
    within: str
    after_steps: int

    def __call__(self, estimate: Tensor, stems: Tensor) -> Tensor:
        """See :class:`demixing.training.losses.Loss`."""
        values = self.loss.blocks(estimate, stems, self.count)
        found = values.detach()
        if self.within == "example":
            weights = kept(found, self.quantile)
            weights = weights / weights.mean(dim=2, keepdim=True)
        else:
            all_values, first = gathered(found)
            weights = kept(all_values.transpose(0, 1).flatten(1), self.quantile)
            weights = weights / weights.mean(dim=1, keepdim=True)
            weights = weights.unflatten(1, (len(all_values), -1)).transpose(0, 1)  # type: ignore[no-untyped-call]
            weights = weights[first : first + len(found)]
        # A product instead of a selection, so that a NaN that is left out is still detected.
        return (values * weights).mean(dim=2)

    def blocks(self, estimate: Tensor, stems: Tensor, count: int) -> Tensor:
        """As :meth:`__call__`, ``(batch, stems, 1)``: masked values have no more blocks than one.

        Raises:
            ValueError: ``count`` is not 1.
        """
        if count != 1:
            raise ValueError("a quantile loss has no blocks of time; put the other loss inside it")
        return self(estimate, stems)[..., None]

    def at(self, step: int) -> Loss:
        """See :func:`demixing.training.losses.at`."""
        inner = losses.at(self.loss, step)
        return inner if step < self.after_steps else dataclasses.replace(self, loss=inner)


def kept(values: Tensor, quantile: float) -> Tensor:
    """Mask of the values, ``(..., values)``, below a quantile of their row: 1 is kept, 0 is not.

    If no value is below it, because many are equal, those at the quantile are kept.

    >>> kept(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.0, 0.0, 0.0, 0.0, 0.0, 6.0]]), 0.4)
    tensor([[1., 1., 0., 0., 0., 0.],
            [1., 1., 1., 1., 1., 0.]])
    """
    threshold = values.quantile(quantile, dim=-1, keepdim=True)
    below = values < threshold
    some = below.any(dim=-1, keepdim=True)
    return torch.where(some, below, values <= threshold).to(values.dtype)


def gathered(values: Tensor) -> tuple[Tensor, int]:
    """Join the values of all processes that train together.

    Args:
        values: ``(batch, ...)`` of this process; all processes have the same shape.

    Returns:
        ``(processes * batch, ...)``, and the position of the first value of this process.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return values, 0
    parts = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, values.contiguous())
    return torch.cat(parts), distributed.get_rank() * len(values)


def build(
    loss: Mapping[str, Any],
    quantile: float = 0.4,
    blocks: int = 1,
    within: str = "batch",
    after_steps: int = 0,
) -> Quantile:
    """Build the loss.

    Args:
        loss: table with ``name`` and ``options`` of the other loss.
        quantile: see :class:`Quantile`.
        blocks: blocks of time in each example.
        within: see :class:`Quantile`.
        after_steps: see :class:`Quantile`.

    Raises:
        ConfigError: ``loss`` is not the table of a loss.
        ValueError: another option is invalid.
    """
    if not 0 < quantile < 1:
        raise ValueError(f"quantile must be above 0 and below 1, got {quantile}")
    if within not in WITHIN:
        raise ValueError(f"within must be one of {', '.join(WITHIN)}, got {within!r}")
    for name, number, least in (("blocks", blocks, 1), ("after_steps", after_steps, 0)):
        if type(number) is not int or number < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, got {number!r}")
    if within == "example" and blocks < 2:
        raise ValueError("within each example there must be at least 2 blocks to compare")
    return Quantile(
        loss=losses.from_table(loss),
        quantile=quantile,
        count=blocks,
        within=within,
        after_steps=after_steps,
    )
