"""The polyphase form of a transposed convolution that doubles both axes.

A transposed convolution with stride 2, kernel 5 and one row cropped at the front sums, for output
row p, over all inputs i and taps k with

    p = 2 i + k - 1.

Even rows p therefore use the taps 3 and 1, on the inputs before and at p / 2; odd rows use the taps
4, 2 and 0, on the inputs before, at and after (p - 1) / 2. The same holds for columns. So four
plain convolutions with a kernel of 3, one per phase, compute the four pixels of an input, and a
pixel shuffle interleaves them. They need 44 % more products, but are faster where transposed
convolutions are slow: with very few outputs, and in bfloat16.

Source: the polyphase decomposition of resampling filters; the taps are derived above.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TAPS = ((3, 1, None), (4, 2, 0))
"""Taps on the inputs before, at and after, for even and for odd outputs."""


class Polyphase(nn.Module):
    """Computes ``nn.ConvTranspose2d(kernel_size=5, stride=2)(x)[:, :, 1:-2, 1:-2]``.

    Args:
        original: the transposed convolution.
        dtype: of the products.

    Shape:
        ``(b, inputs, t, f)`` to ``(b, outputs, 2 t, 2 f)``.

    Raises:
        ValueError: the convolution has another kernel or stride, or no bias.
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
