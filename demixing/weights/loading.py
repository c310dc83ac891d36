"""Builds networks without memory, and fills them with weights from a file.

torch draws random weights for every layer that it builds. For a network that is filled from a file,
they are never used, but cost seconds and memory and change the random state. So such networks are
built on torch's meta device, where tensors have shapes but no memory, and take over the file's
tensors. Constants that no file contains are computed on the CPU by the modules that need them.

Constructors' calls that only change numbers are left out there. torch would import its compiler and
sympy for them, which takes longer than loading the weights.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from demixing.weights import checkpoints

Network = TypeVar("Network", bound=nn.Module)

FILLING = {"div_", "kaiming_uniform_", "normal_", "uniform_"}
"""Methods of tensors, and functions of ``torch.nn.init``, that change numbers in place."""


def load(make: Callable[[], Network], state: Mapping[str, Tensor], name: str) -> Network:
    """Build a network and fill it; see :func:`empty` and :func:`fill`.

    Raises:
        CheckpointError: keys are missing or left over, or a shape differs.
    """
    network = empty(make)
    fill(network, state, name)
    return network


def empty(make: Callable[[], Network]) -> Network:
    """Build a network without weights.

    Args:
        make: builds the network; called with the meta device as torch's default.
    """
    with torch.device("meta"), _Unfilled():
        return make()


class _Unfilled(TorchFunctionMode):
    """Returns tensors on the meta device as they are where their numbers would change."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, unless it would only change numbers."""
        given = kwargs or {}
        if getattr(func, "__name__", "") in FILLING:
            weights = args[0] if args else given["tensor"]
            if weights.is_meta:
                return weights
        return func(*args, **given)


def fill(network: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Fill a network from :func:`empty`, and make it ready for inference on the CPU.

    Args:
        network: changed in place. Its weights keep their memory format.
        state: weights by the key names of the network. BatchNorm's step counters may be absent.
        name: of the weights, for messages.

    Raises:
        CheckpointError: keys are missing or left over, or a shape differs.
    """
    own = network.state_dict()
    ours = {
        key: _laid_out(value, own[key]) if key in own else value for key, value in state.items()
    }
    for key in own.keys() - state.keys():
        if key.endswith("num_batches_tracked"):  # missing in some files; only training reads it
            ours[key] = torch.zeros((), dtype=torch.long)
    checkpoints.fill(network, ours, name)


def _laid_out(value: Tensor, like: Tensor) -> Tensor:
    """Return a tensor in the memory format of another one, copied only if they differ."""
    if value.shape != like.shape or value.stride() == like.stride():
        return value
    return torch.empty_strided(like.shape, like.stride(), dtype=value.dtype).copy_(value)
