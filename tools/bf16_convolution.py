"""Show which gradients of a depthwise convolution over time are wrong in bfloat16 on this CPU.

    OMP_NUM_THREADS=1 python -m tools.bf16_convolution

Prints, per layout and dilation, the largest relative error over six draws against float32: of the
output, and of the gradients of input, weights and bias. Rounding alone is 0.003.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

FEATURES, FRAMES, BANDS, TAPS = 64, 87, 52, 5
DRAWS = 6


def main() -> None:
    """Run the command line."""
    generator = torch.Generator().manual_seed(0)
    print("| layout | dilation | output | input | weights | bias |\n|---|---|---|---|---|---|")
    for layout in (torch.contiguous_format, torch.channels_last):
        for dilation in (1, 4, 8, 32):
            errors = torch.stack([drawn(generator, layout, dilation) for _ in range(DRAWS)])
            row = " | ".join(f"{error:.1e}" for error in errors.amax(dim=0).tolist())
            print(f"| {str(layout).partition('.')[2]} | {dilation} | {row} |")


def drawn(generator: torch.Generator, layout: torch.memory_format, dilation: int) -> Tensor:
    """Relative errors of one draw, ``(4,)``."""
    shapes = ((2, FEATURES, FRAMES, BANDS), (FEATURES, 1, TAPS, 1), (FEATURES,))
    given = [torch.randn(*shape, generator=generator) for shape in shapes]
    towards = torch.randn(*shapes[0], generator=generator)
    exact = results(given, towards, dilation, torch.float32, torch.contiguous_format)
    coarse = results(given, towards, dilation, torch.bfloat16, layout)
    pairs = zip(coarse, exact, strict=True)
    return torch.stack([(one - other).norm() / other.norm() for one, other in pairs])


def results(
    given: list[Tensor],
    towards: Tensor,
    dilation: int,
    dtype: torch.dtype,
    layout: torch.memory_format,
) -> list[Tensor]:
    """Output, and gradients of input, weights and bias, as float32."""
    x, weights, bias = (value.to(dtype, copy=True) for value in given)
    x = x.contiguous(memory_format=layout)
    leaves = [value.requires_grad_() for value in (x, weights, bias)]
    padding = (dilation * (TAPS - 1) // 2, 0)
    y = F.conv2d(x, weights, bias, 1, padding, (dilation, 1), FEATURES)
    y.backward(towards.to(dtype).contiguous(memory_format=layout))  # type: ignore[no-untyped-call]
    return [y.detach().float(), *(leaf.grad.float() for leaf in leaves if leaf.grad is not None)]


if __name__ == "__main__":
    main()
