"""Networks whose products are of bfloat16, without a change to them."""

import torch
from torch import Tensor, nn


class InBfloat16(nn.Module):
    """Runs a network under autocast: products in bfloat16, spectra and sums in float32.

    Args:
        network: waveforms to waveforms.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, mixtures: Tensor) -> Tensor:
        """See the network; the answer is float32."""
        with torch.autocast(mixtures.device.type, torch.bfloat16):
            answer: Tensor = self.network(mixtures)
        return answer.float()
