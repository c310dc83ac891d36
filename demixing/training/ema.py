"""The moving average of a network's weights, which is smoother than its last state."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class Average(Generic[Network]):
    """Follow a network at a distance.

    The average begins fast, or the random weights of the start would stay in it for long: after
    n steps its decay is at most ``(1 + n) / (10 + n)``. Source: TensorFlow's documentation of
    ExponentialMovingAverage.

    Args:
        network: to follow.
        decay: how much of the average each step keeps.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network)
        self.network.eval().requires_grad_(requires_grad=False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Take a step towards a network; counters and statistics are copied."""
        decay = min(self._decay, (1 + step) / (10 + step))
        new = dict(network.named_parameters())
        for name, parameter in self.network.named_parameters():
            parameter.lerp_(new[name], 1 - decay)
        buffers = dict(network.named_buffers())
        for name, buffer in self.network.named_buffers():
            buffer.copy_(buffers[name])
