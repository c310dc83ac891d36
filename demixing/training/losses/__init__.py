"""Ways of saying how wrong an estimate is, one plug-in each.

A loss answers for every example and stem by itself, and on demand for every block of time, so that
whoever trains may take the mean, and :mod:`demixing.training.losses.quantile` may leave some of
them out. In a run file:

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

if TYPE_CHECKING:  # listing names must not cost the seconds that torch takes to import
    from torch import Tensor

logger = logging.getLogger(__name__)


class Loss(Protocol):
    """Compares estimates with stems; the worse, the higher.

    All of it is computed in float32 at least, whatever the type of the estimate and under
    autocast. A silent stem has a finite value and a finite gradient. A loss has no state; one that
    changes while a network is trained has a method ``at``, see :func:`at`.
    """

    def __call__(self, estimate: Tensor, stems: Tensor) -> Tensor:
        """Compare.

        Args:
            estimate: ``(batch, stems, 2, samples)``.
            stems: the same; all stems of an example, so that their sum is its mixture.

        Returns:
            ``(batch, stems)``.
        """

    def blocks(self, estimate: Tensor, stems: Tensor, count: int) -> Tensor:
        """Compare block by block of time; ``count`` blocks, alike in length to a sample or frame.

        Returns:
            ``(batch, stems, count)``. If the blocks are exactly alike in length and the loss is a
            mean over time, the mean over the blocks is what :meth:`__call__` gives. Ratios, such as
            the SDR, are here the ratio within each block.

        Raises:
            ValueError: there are less samples, or frames, than blocks.
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
        ConfigError: no loss has that name, or it refuses an option.
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
    """Build the loss that a table of a run file describes by ``name`` and ``options``.

    Raises:
        ConfigError: it has another key or no name, or see :func:`build`.
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
    """The loss that counts at a step of the training, from 0 on.

    Those that change have a method ``at`` that returns it; the others are always the same.
    """
    changed = getattr(loss, "at", None)
    return loss if changed is None else cast("Loss", changed(step))
