"""A transposed convolution that doubles both axes, as a plain one and a shuffle of pixels.

An output row p of a transposed convolution with stride 2, kernel 5 and one row cropped in front is
a sum over inputs i with ``p = 2 i + k - 1``. So even rows hear the taps 3 and 1 of the inputs
before and at p / 2, odd rows the taps 4, 2 and 0 of those before, at and after it; columns alike.
Four plain convolutions of kernel 3, one per phase, give the four pixels. They do 44 % more
products, and yet they are faster where the transposed kernels are poor: with very few outputs,
and in bfloat16.

Source: the usual phase decomposition of resampling filters; the taps are derived above.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TAPS = ((3, 1, None), (4, 2, 0))
"""For even and odd outputs: the tap that the input before, at and after hears."""


class Polyphase(nn.Module):
    """What ``nn.ConvTranspose2d(kernel_size=5, stride=2)(x)[:, :, 1:-2, 1:-2]`` gives.

    Args:
        original: the transposed convolution.
        dtype: of the products.

    Shape:
        ``(b, inputs, t, f)`` to ``(b, outputs, 2 t, 2 f)``.
    """

    def __init__(self, original: nn.ConvTranspose2d, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        if original.kernel_size != (5, 5) or original.stride != (2, 2) or original.bias is None:
            raise ValueError(f"expected kernel 5, stride 2 and a bias, got {original}")
        taps = original.weight.detach()
        inputs, outputs = taps.shape[:2]
        weight = taps.new_zeros(outputs, 2, 2, inputs, 3, 3)
        for row, column, y, x in torch.cartesian_prod(*map(torch.arange, (2, 2, 3, 3))).tolist():
            down, right = TAPS[row][y], TAPS[column][x]
            if down is not None and right is not None:
                weight[:, row, column, :, y, x] = taps[:, :, down, right].T
        flat = weight.flatten(0, 2).to(dtype).contiguous(memory_format=torch.channels_last)
        bias = original.bias.detach().repeat_interleave(4).to(dtype)
        self.weight = nn.Parameter(flat, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.pixel_shuffle(F.conv2d(x, self.weight, self.bias, padding=1), 2)
