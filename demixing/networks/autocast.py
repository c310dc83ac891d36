"""Networks that run under autocast: products in 16 bits, without a change to the layers."""

import torch
from torch import Tensor, nn


class InLowPrecision(nn.Module):
    """Runs a network under autocast: products in 16 bits, spectra and sums in float32.

    Args:
        network: maps mixtures ``(b, c, samples)`` to stems ``(b, s, c, samples)``.
        dtype: of the products, bfloat16 or float16.

    Shape:
        as of the network; the output is float32.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.network, self._dtype = network, dtype

    def forward(self, mixtures: Tensor) -> Tensor:
        """See the class."""
        with torch.autocast(mixtures.device.type, self._dtype):
            output: Tensor = self.network(mixtures)
        return output.float()
