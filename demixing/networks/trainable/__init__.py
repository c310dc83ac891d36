"""Networks that can be trained, one plug-in each.

Each maps mixtures ``(batch, 2, samples)`` to stems ``(batch, stems, 2, samples)``, of any length
while it is trained, and says in its attributes how the engine should cut songs for it
(:class:`demixing.networks.chunk_geometry.Chunked`). Besides ``build``, a module may have

* ``adapted(state, stems, **options)``, which makes weights to begin with of those of another one;
* ``prepared(network, dtype)``, which copies a network for inference.
"""

from __future__ import annotations

import ast
import copy
import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:  # listing names must not cost the seconds that torch takes to import
    import torch
    from torch import Tensor, nn

    from demixing.networks.chunk_geometry import Chunked


def names() -> list[str]:
    """Keys of all networks, without importing any of them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def summary(name: str) -> str:
    """First line of a network's docstring, read without importing it."""
    path = Path(__file__).with_name(f"{name}.py")
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def build(name: str, stems: Sequence[str], options: Mapping[str, Any] | None = None) -> Chunked:
    """Import the one module ``name`` and build its network, with random weights.

    Args:
        name: a key from :func:`names`.
        stems: what the network gives, in this order.
        options: keyword arguments of the module's ``build``, usually from a run file.

    Raises:
        ValueError: no network has that name, it refuses an option, or stems are no names.
    """
    options = options or {}
    if name not in names():
        raise ValueError(f"no trainable network named {name!r}{_did_you_mean(name, names())}")
    if isinstance(stems, str) or not stems or len(set(stems)) < len(stems):
        raise ValueError(f"stems must be at least one name and all different, got {stems!r}")
    make = importlib.import_module(f"{__name__}.{name}").build
    known = [option for option in inspect.signature(make).parameters if option != "stems"]
    for option in options:
        if option not in known:
            hint = _did_you_mean(option, known)
            raise ValueError(f"network {name!r} has no option {option!r}{hint}")
    try:
        return cast("Chunked", make(tuple(stems), **options))
    except (TypeError, ValueError) as error:
        raise ValueError(f"network {name!r} refuses its options: {error}") from error


def adapted(
    name: str, state: Mapping[str, Tensor], stems: Sequence[str], options: Mapping[str, Any]
) -> Mapping[str, Tensor]:
    """Make weights for a network to begin with, of another one's if its module knows how.

    Args:
        name: a key from :func:`names`.
        state: of the other network, or of this one.
        stems: of the network.
        options: of the network.
    """
    module = importlib.import_module(f"{__name__}.{name}")
    if not hasattr(module, "adapted"):
        return state
    return cast("Mapping[str, Tensor]", module.adapted(state, tuple(stems), **options))


def prepared(network: Chunked, dtype: torch.dtype) -> nn.Module:
    """Copy a network for inference, as its own module does it, if it does.

    Args:
        network: with its weights, which are not touched.
        dtype: of the products; what comes and goes is float32.
    """
    import torch

    module = importlib.import_module(type(network).__module__)
    if hasattr(module, "prepared"):
        return cast("nn.Module", module.prepared(network, dtype))
    ready = copy.deepcopy(network).eval().requires_grad_(False)
    if dtype == torch.bfloat16:
        from demixing.networks.autocast import InBfloat16

        return InBfloat16(ready)
    return ready


def _did_you_mean(word: str, known: list[str]) -> str:
    """End of an error message: the closest known word and all of them.

    >>> _did_you_mean("band_splot", ["band_split"])
    "; did you mean 'band_split'? (have: band_split)"
    """
    close = difflib.get_close_matches(word, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} (have: {', '.join(known) or 'none'})"
