"""Networks that run under autocast: products in bfloat16, without a change to the layers."""

import torch
from torch import Tensor, nn


class InBfloat16(nn.Module):
    """Runs a network under autocast: products in bfloat16, spectra and sums in float32.

    Args:
        network: maps mixtures ``(b, c, samples)`` to stems ``(b, s, c, samples)``.

    Shape:
        as of the network; the output is float32.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, mixtures: Tensor) -> Tensor:
        """See the class."""
        with torch.autocast(mixtures.device.type, torch.bfloat16):
            output: Tensor = self.network(mixtures)
        return output.float()
