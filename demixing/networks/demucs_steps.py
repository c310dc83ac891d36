"""The steps of a Demucs without normalisation, rewritten for inference: the same output.

Letters: b batch, c channels, t samples or frames. Tensors are ``(b, c, 1, t)`` and channels last,
where the CPU's kernels are fastest. A step processes time in blocks, so the double-width tensor
before a gate never exists as a whole; in the plain network, it is most of the peak memory. In
bfloat16, inputs and outputs of a step are also bfloat16.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks.convolutions import Convolution

BLOCK = 4096
"""Frames per block: longer than any kernel, and much shorter than a chunk of a song."""


class Down(nn.Module):
    """A strided convolution, a ReLU, and a 1x1 convolution with a gate.

    Args:
        step: ``nn.Sequential`` of the convolution, its ReLU, the second convolution and its gate.
        dtype: of the products.

    Shape:
        ``(b, c, 1, t)`` to ``(b, outputs, 1, t')``.
    """

    def __init__(self, step: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        first, _, second, _ = step.children()
        assert isinstance(first, nn.Conv1d)
        self.kernel, self.stride, self.outputs = (
            *first.kernel_size,
            *first.stride,
            first.out_channels,
        )
        self.first, self.second = Convolution(first, dtype), Convolution(second, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        frames = (x.shape[-1] - self.kernel) // self.stride + 1
        y = empty(x, self.outputs, frames, self.second.weight.dtype)
        for start, end in blocks(frames):
            last = (end - 1) * self.stride + self.kernel
            z = self.first(x[..., start * self.stride : last]).relu_()
            gate(self.second(z), y[..., start:end])
        return y


class Spread(nn.Module):
    """A transposed convolution with a stride of half its kernel, as one matrix product.

    It is faster than a transposed convolution with few outputs. Frame i contributes to the output
    samples of frame i with the first half of the kernel, and to those of frame i + 1 with the
    second half.

    Args:
        original: the transposed convolution.
        dtype: of the products.

    Raises:
        ValueError: its stride is not half of its kernel, or it has groups or no bias.
    """

    def __init__(self, original: nn.ConvTranspose1d, dtype: torch.dtype) -> None:
        super().__init__()
        (kernel,), (self.stride,) = original.kernel_size, original.stride
        if kernel != 2 * self.stride or original.groups != 1 or original.bias is None:
            raise ValueError(f"expected a stride of half the kernel and a bias, got {original}")
        self.outputs = original.out_channels
        weight = original.weight.detach().permute(2, 1, 0).flatten(0, 1).to(dtype)
        self.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
        self.bias = nn.Parameter(original.bias.detach(), requires_grad=False)

    def begin(self, x: Tensor, frames: int) -> Tensor:
        """Return an output with only the bias, ``(b, frames + 1, stride, outputs)``.

        Args:
            x: the input, for batch and device.
            frames: number of input frames.
        """
        room = (len(x), frames + 1, self.stride, self.outputs)
        return self.bias.to(x.device).expand(room).clone()

    def add(self, total: Tensor, z: Tensor, start: int) -> None:
        """Add the contribution of some frames.

        Args:
            total: from :meth:`begin`, changed in place.
            z: input frames ``(b, c, 1, t)``.
            start: index of the first one.
        """
        y = F.linear(z[:, :, 0].transpose(1, 2), self.weight)
        own, following = y.unflatten(2, (2, self.stride, self.outputs)).unbind(2)  # type: ignore[no-untyped-call]
        end = start + z.shape[-1]
        total[:, start:end] += own
        total[:, start + 1 : end + 1] += following

    def end(self, total: Tensor) -> Tensor:
        """Return the output of :meth:`begin` as ``(b, outputs, 1, t)``."""
        return total.flatten(1, 2).transpose(1, 2)[:, :, None]


class Up(nn.Module):
    """A gated convolution, a transposed convolution, and a ReLU except in the last step.

    Args:
        step: ``nn.Sequential`` of the convolution, its gate, and the transposed convolution.
        dtype: of the products.

    Shape:
        ``(b, c, 1, t)`` and the skip connection, at least as long, to ``(b, outputs, 1, t')``.
    """

    def __init__(self, step: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        first, _, second, *activation = step.children()
        assert isinstance(first, nn.Conv1d)
        assert isinstance(second, nn.ConvTranspose1d)
        self.context, self.channels = first.kernel_size[0] - 1, second.in_channels
        self.first = Convolution(first, dtype)
        self.last = not activation
        self.second = Spread(second, dtype) if self.last else Convolution(second, dtype)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """See the class."""
        frames = x.shape[-1] - self.context
        spread = self.second if isinstance(self.second, Spread) else None
        y = (
            spread.begin(x, frames)
            if spread
            else empty(x, self.channels, frames, self.first.weight.dtype)
        )
        before = (skip.shape[-1] - x.shape[-1]) // 2
        for start, end in blocks(frames):
            stop = end + self.context
            z = self.first(x[..., start:stop] + skip[..., before + start : before + stop])
            if spread:
                room = empty(z, self.channels, end - start, z.dtype)
                spread.add(y, gate(z, room), start)
            else:
                gate(z, y[..., start:end])
        if spread:
            return spread.end(y)
        output: Tensor = self.second(y)
        return output.relu_()


def gate(z: Tensor, room: Tensor) -> Tensor:
    """Apply a gated linear unit over channels.

    Args:
        z: ``(b, 2 c, 1, t)``; overwritten.
        room: the output, ``(b, c, 1, t)``.
    """
    value, by = z.chunk(2, dim=1)
    return torch.mul(value, by.sigmoid_(), out=room)


def empty(like: Tensor, channels: int, samples: int, dtype: torch.dtype) -> Tensor:
    """Return an uninitialised tensor ``(b, channels, 1, samples)``, channels last.

    Args:
        like: tensor with the same batch size and device.
        channels: c.
        samples: t.
        dtype: of the new tensor.
    """
    return torch.empty(
        (len(like), channels, 1, samples),
        dtype=dtype,
        device=like.device,
        memory_format=torch.channels_last,
    )


def blocks(frames: int) -> Iterator[tuple[int, int]]:
    """Yield the first frame of each block, and one past its last.

    >>> list(blocks(5000))
    [(0, 4096), (4096, 5000)]
    """
    for start in range(0, frames, BLOCK):
        yield start, min(start + BLOCK, frames)
