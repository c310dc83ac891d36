"""Trainable networks, one plug-in each.

Each one maps mixtures ``(batch, 2, samples)`` to stems ``(batch, stems, 2, samples)``, of any
length in training. Its attributes define how the engine cuts songs
(:class:`demixing.networks.chunk_geometry.ChunkGeometry`). Besides ``build``, a module may have

* ``warm_start(state, stems, **options)``, which creates initial weights from another network's;
* ``prepared(network, dtype)``, which copies a network for inference; looked up in the module of the
  network's class.
"""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from demixing.plugins import Plugins, did_you_mean

if TYPE_CHECKING:  # listing names must not cost the seconds that torch takes to import
    import torch
    from torch import Tensor, nn

    from demixing.networks.chunk_geometry import ChunkGeometry


_plugins = Plugins(__name__, __path__, "trainable network")
names, summary = _plugins.names, _plugins.summary


def build(
    name: str, stems: Sequence[str], options: Mapping[str, Any] | None = None
) -> ChunkGeometry:
    """Import the module ``name`` and build its network, with random weights.

    Args:
        name: a key from :func:`names`.
        stems: names of the outputs, in their order.
        options: keyword arguments of the module's ``build``, usually from a run file.

    Raises:
        ValueError: no network has that name, an option is invalid, or the stems are not names.
    """
    options = options or {}
    if name not in names():
        raise ValueError(f"no trainable network named {name!r}{did_you_mean(name, names())}")
    if isinstance(stems, str) or not stems or len(set(stems)) < len(stems):
        raise ValueError(f"stems must be at least one name and all different, got {stems!r}")
    make = importlib.import_module(f"{__name__}.{name}").build
    known = [option for option in inspect.signature(make).parameters if option != "stems"]
    for option in options:
        if option not in known:
            hint = did_you_mean(option, known)
            raise ValueError(f"network {name!r} has no option {option!r}{hint}")
    try:
        return cast("ChunkGeometry", make(tuple(stems), **options))
    except (TypeError, ValueError) as error:
        raise ValueError(f"network {name!r} rejects its options: {error}") from error


def warm_start(
    name: str, state: Mapping[str, Tensor], stems: Sequence[str], options: Mapping[str, Any]
) -> Mapping[str, Tensor]:
    """Create initial weights for a network from another network's, if its module supports that.

    Args:
        name: a key from :func:`names`.
        state: weights of the other network, or of this one, by their key names and of its shapes.
        stems: names of the network's outputs, in their order.
        options: keyword arguments of the module's ``build``.

    Returns:
        Weights by the network's key names, or ``state`` if the module has no warm start.
    """
    module = importlib.import_module(f"{__name__}.{name}")
    if not hasattr(module, "warm_start"):
        return state
    return cast("Mapping[str, Tensor]", module.warm_start(state, tuple(stems), **options))


def prepared(network: ChunkGeometry, dtype: torch.dtype, *, in_place: bool = False) -> nn.Module:
    """Copy a network for inference, with the ``prepared`` of its module, if any.

    Args:
        network: with its weights.
        dtype: of the products; inputs and outputs are float32.
        in_place: change the network itself if its module has none, which saves a copy.
    """
    import torch

    module = importlib.import_module(type(network).__module__)
    if hasattr(module, "prepared"):
        return cast("nn.Module", module.prepared(network, dtype))
    ready = (network if in_place else copy.deepcopy(network)).eval().requires_grad_(False)
    if dtype != torch.float32:
        from demixing.networks.autocast import InLowPrecision

        return InLowPrecision(ready, dtype)
    return ready
