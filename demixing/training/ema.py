"""Exponential moving average of a network's weights, which is smoother than the last state."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class Average(Generic[Network]):
    """Averages the weights of a network during training.

    After n steps the decay is at most ``(1 + n) / (10 + n)``. Otherwise the initial random
    weights would dominate the average for a long time. Source: TensorFlow's documentation of
    ExponentialMovingAverage.

    Args:
        network: the network to average; it is copied.
        decay: fraction of the average that each step keeps, 0 to 1.

    Attributes:
        network: a copy with the averaged weights, in evaluation mode.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network)
        self.network.eval().requires_grad_(requires_grad=False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Update the average with the weights of a network; its buffers are copied.

        Args:
            network: after the step.
            step: number of the step.
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        new = dict(network.named_parameters())
        for name, parameter in self.network.named_parameters():
            parameter.lerp_(new[name], 1 - decay)
        buffers = dict(network.named_buffers())
        for name, buffer in self.network.named_buffers():
            buffer.copy_(buffers[name])
