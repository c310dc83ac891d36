"""Losses, one plug-in each.

A loss has a value for each example and stem, and optionally for each block of time. Training takes
the mean, and :mod:`demixing.training.losses.quantile` leaves some of the values out. In a run file:

    [loss]
    name = "sum"

    [[loss.options.terms]]
    name = "wave_l1"

    [[loss.options.terms]]
    name = "multi_resolution"
    weight = 0.5
    options = { frames = [512, 2048, 8192] }
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from demixing.errors import ConfigError
from demixing.plugins import Plugins, did_you_mean

if TYPE_CHECKING:  # torch takes seconds to import, and listing names does not need it
    from torch import Tensor

logger = logging.getLogger(__name__)


class Loss(Protocol):
    """Compares estimates with stems; higher is worse.

    It is computed in float32 or float64, even under autocast and for estimates of another type. A
    silent stem has a finite value and a finite gradient. A loss has no state; one that changes
    during training has a method ``at``, see :func:`at`.
    """

    def __call__(self, estimate: Tensor, stems: Tensor) -> Tensor:
        """Compare.

        Args:
            estimate: ``(batch, stems, 2, samples)``.
            stems: the same shape; all stems of an example, so that their sum is the mixture.

        Returns:
            ``(batch, stems)``.
        """

    def blocks(self, estimate: Tensor, stems: Tensor, count: int) -> Tensor:
        """Compare within blocks of time, whose lengths differ by at most one sample or frame.

        Args:
            estimate: ``(batch, stems, 2, samples)``.
            stems: the same shape.
            count: number of blocks.

        Returns:
            ``(batch, stems, count)``. If all blocks have the same length and the loss is a mean
            over time, the mean over the blocks is the value of :meth:`__call__`. Ratios, such as
            the SDR, are taken within each block.

        Raises:
            ValueError: there are fewer samples, or frames, than blocks.
        """


OLD_NAMES: Mapping[str, tuple[str, ...]] = {
    "l1_wav": ("wave_l1",),
    "l1_wav_l1_sp": ("wave_l1", "magnitude_l1"),
    "l1_wav_l1_compressed_sp": ("wave_l1", "compressed"),
}
"""Names from run files of ByteSep, and the terms of each; accepted for one version."""

_plugins = Plugins(__name__, __path__, "loss")
names, summary = _plugins.names, _plugins.summary


def build(name: str, options: Mapping[str, Any] | None = None) -> Loss:
    """Import the one module ``name`` and build its loss.

    Args:
        name: a key from :func:`names`.
        options: keyword arguments of the module's ``build``, usually from a run file.

    Raises:
        ConfigError: no loss has that name, or an option is invalid.
    """
    if name in OLD_NAMES:
        name, options = _renamed(name, options or {})
    return cast("Loss", _plugins.build(name, options))


def _renamed(name: str, options: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Name and options of the loss that an old name stands for; its last term has the options."""
    *first, last = OLD_NAMES[name]
    new = f"'sum' of {' and '.join(OLD_NAMES[name])}" if first else repr(last)
    logger.warning("the loss %r is now %s; the next version will refuse the old name", name, new)
    if not first:
        return last, options
    return "sum", {"terms": [*({"name": one} for one in first), {"name": last, "options": options}]}


def from_table(table: Mapping[str, Any]) -> Loss:
    """Build a loss from a table of a run file with ``name`` and ``options``.

    Raises:
        ConfigError: the table has another key or no name, or see :func:`build`.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(f"a loss is a table with name and options, got {table!r}")
    known = ["name", "options"]
    for key in table:
        if key not in known:
            raise ConfigError(f"a loss has no key {key!r}{did_you_mean(key, known)}")
    if not isinstance(table.get("name"), str):
        raise ConfigError(f"a loss needs a name; have: {', '.join(names())}")
    return build(table["name"], table.get("options"))


def at(loss: Loss, step: int) -> Loss:
    """The loss at a training step, counted from 0.

    Losses that change have a method ``at`` that returns it; all others stay the same.
    """
    changed = getattr(loss, "at", None)
    return loss if changed is None else cast("Loss", changed(step))
