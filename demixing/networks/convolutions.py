"""Convolutions over frequency and time, channels last, which is fastest on the CPU.

Letters: b batch, c channels, f bins, t frames. A layer of the time branch is a layer of the
frequency branch with one bin.
"""

from typing import Any

import torch
from torch import Tensor, nn

from demixing.networks import fused


class Convolution(nn.Module):
    """A 1D or 2D convolution as a 2D one: channels last, in its own precision.

    Args:
        original: any ``nn.Conv1d``, ``nn.Conv2d`` or their transposes.
        dtype: of the products.
        crop: samples that a transposed convolution drops at both ends of its first or only
            dimension.

    Shape:
        ``(b, c, f, t)`` to ``(b, outputs, f', t')``.
    """

    def __init__(self, original: Any, dtype: torch.dtype, crop: int = 0) -> None:
        super().__init__()
        flat = original.weight.dim() == 3
        weight = original.weight[:, :, None] if flat else original.weight
        self.weight = fixed(weight, dtype, memory_format=torch.channels_last)
        self.bias = None if original.bias is None else fixed(original.bias, dtype)
        self.how: dict[str, Any] = {
            "groups": original.groups,
            "transposed": isinstance(original, nn.ConvTranspose1d | nn.ConvTranspose2d),
        }
        for name, neutral in (("stride", 1), ("padding", 0), ("dilation", 1)):
            value = getattr(original, name)
            self.how[name] = (neutral, *value) if flat else tuple(value)
        if crop:
            self.how["padding"] = (0, crop) if flat else (crop, 0)

    def forward(self, x: Tensor, activation: str = "none") -> Tensor:
        """See the class; ``activation`` is a key of :data:`demixing.networks.fused.ALGORITHMS`."""
        x = x.to(self.weight.dtype)
        return fused.convolve(x, self.weight, self.bias, self.how, activation)


class Convolution1d(nn.Module):
    """A single 1D convolution.

    Args:
        original: the convolution.
        dtype: of the products.

    Shape:
        ``(b, c, t)`` to ``(b, outputs, t')``.
    """

    def __init__(self, original: nn.Conv1d, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner = Convolution(original, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.inner(x[:, :, None])[:, :, 0]  # type: ignore[no-any-return]


class GatedConvolution(nn.Module):
    """A convolution and a gated linear unit over its channels.

    Values and gates are two convolutions. That of the gates applies the sigmoid, and the tensor of
    both is never allocated.

    Args:
        original: any ``nn.Conv1d`` or ``nn.Conv2d`` with an even number of outputs.
        dtype: of the products.

    Shape:
        ``(b, c, f, t)`` to ``(b, outputs / 2, f', t')``.
    """

    def __init__(self, original: Any, dtype: torch.dtype) -> None:
        super().__init__()
        both = Convolution(original, dtype)
        self.how = both.how
        halves = (half.clone(memory_format=torch.channels_last) for half in both.weight.chunk(2))
        self.value, self.gate = (nn.Parameter(half, requires_grad=False) for half in halves)
        self.biases = both.bias

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = x.to(self.value.dtype)
        value_bias, gate_bias = (None, None) if self.biases is None else self.biases.chunk(2)
        gate = fused.convolve(x, self.gate, gate_bias, self.how, "sigmoid")
        return fused.convolve(x, self.value, value_bias, self.how).mul_(gate)


def gated(z: Tensor) -> Tensor:
    """Apply a gated linear unit over channels, keeping them last in memory.

    Args:
        z: ``(b, 2 c, f, t)``. Its gate is overwritten, which saves a tensor of half its size.

    Returns:
        ``(b, c, f, t)``.
    """
    value, gate = z.chunk(2, dim=1)
    return value * gate.sigmoid_()


def fixed(weight: Tensor, dtype: torch.dtype, **layout: Any) -> nn.Parameter:
    """Return weights of another type that are not trained.

    Args:
        weight: any.
        dtype: of the new weights.
        layout: arguments of ``Tensor.contiguous``.
    """
    return nn.Parameter(weight.detach().to(dtype).contiguous(**layout), requires_grad=False)
