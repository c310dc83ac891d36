"""Leaves out what another loss finds worst: for stems with label noise or bleeding.

What a network cannot learn from the other examples is likely wrong in the data. For each stem,
values of a batch at or above a quantile of them count nothing, and the others as much more. With
``blocks = 1`` those are values of whole examples, for stems that are labelled wrongly (board A of
MDX'23); with more blocks they are of pieces of time, for bleeding, heard here and there (board B).

Both boards were won in this way, A by CCOM, B by KUIELab, who masked squared errors: for A whole
examples at a quantile of 0.4 in batches of six, for B single samples at 0.93.

Source: Kim, Lee, Jung, "Sound Demixing Challenge 2023 music demixing track technical report:
TFC-TDF-UNet v3", arXiv:2306.09382, and their code for both boards (settings); Kang, Hashimoto,
"Improved natural language generation via loss truncation", ACL 2020.
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
    """A loss that leaves some of another one out; see :class:`demixing.training.losses.Loss`.

    Values are scaled so that their mean is that of what is left, for each stem. If several
    processes train together, the batch is that of all of them, and each has its part of the mean.

    Attributes:
        loss: finds what is worst.
        quantile: part of the values that count, above 0 and below 1.
        count: blocks of time of each example.
        within: "batch": a stem's values of all examples have one quantile; "example": those of each
            example have their own.
        after_steps: steps of the training before which nothing is left out.
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
            everyone, first = gathered(found)
            weights = kept(everyone.transpose(0, 1).flatten(1), self.quantile)
            weights = weights / weights.mean(dim=1, keepdim=True)
            weights = weights.unflatten(1, (len(everyone), -1)).transpose(0, 1)  # type: ignore[no-untyped-call]
            weights = weights[first : first + len(found)]
        # A product and no choice, so that a NaN that is left out is still seen by whoever looks.
        return (values * weights).mean(dim=2)

    def blocks(self, estimate: Tensor, stems: Tensor, count: int) -> Tensor:
        """Refuse: what was left out once has no value that another mask could judge.

        Raises:
            ValueError: always, but for the one block that is the whole.
        """
        if count != 1:
            raise ValueError("a quantile loss has no blocks of time; put the other loss inside it")
        return self(estimate, stems)[..., None]

    def at(self, step: int) -> Loss:
        """See :func:`demixing.training.losses.at`."""
        inner = losses.at(self.loss, step)
        return inner if step < self.after_steps else dataclasses.replace(self, loss=inner)


def kept(values: Tensor, quantile: float) -> Tensor:
    """Say which values are below a quantile of their row, the last axis; 1 if so and else 0.

    Where none is, because many are alike, those at the quantile are kept.

    >>> kept(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.0, 0.0, 0.0, 0.0, 0.0, 6.0]]), 0.4)
    tensor([[1., 1., 0., 0., 0., 0.],
            [1., 1., 1., 1., 1., 0.]])
    """
    threshold = values.quantile(quantile, dim=-1, keepdim=True)
    below = values < threshold
    some = below.any(dim=-1, keepdim=True)
    return torch.where(some, below, values <= threshold).to(values.dtype)


def gathered(values: Tensor) -> tuple[Tensor, int]:
    """Put the values of all processes that train together in one batch.

    Args:
        values: ``(batch, ...)`` of this process, as large as those of the others.

    Returns:
        ``(processes * batch, ...)``, and where this one's begin.
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
        blocks: of time, of each example.
        within: see :class:`Quantile`.
        after_steps: see :class:`Quantile`.

    Raises:
        ConfigError: ``loss`` is no table of a loss.
        ValueError: another option is not as it should be.
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
