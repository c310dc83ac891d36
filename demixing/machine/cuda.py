"""What networks use of ``torch.cuda``, as one small object, so that tests can replace it.

Streams run in parallel, and events order them. A GPU's streams, pinned memory and graphs are used
only through :class:`Gpu`. Tests pass another implementation, so the code that uses it also runs on
a machine without a GPU.
"""

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, cast

import torch
from torch import Tensor

FAST_BF16 = (8, 0)
"""Compute capability from which NVIDIA's GPUs multiply in bfloat16; before, it is emulated."""


class Event(Protocol):
    """A point in the work of a stream."""

    def synchronize(self) -> None:
        """Wait until the stream has reached it."""


class Stream(Protocol):
    """A queue of work for the GPU."""

    def wait_event(self, event: Event) -> None:
        """Let later work of this stream wait for an event of another one."""

    def record_event(self) -> Event:
        """An event that is reached when all work so far is done."""


class Gpu(Protocol):
    """The functions of a GPU that networks use."""

    def stream(self) -> Stream:
        """Make a new stream."""

    def current(self) -> Stream:
        """The stream on which this thread's networks run."""

    def on(self, stream: Stream) -> AbstractContextManager[object]:
        """A context in which work goes to a stream."""

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Uninitialised page-locked memory of the host."""

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Uninitialised memory of the GPU."""

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Copy on the stream of the context, without waiting; both have the same type."""

    def capture(self, network: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[Tensor], Tensor]:
        """Record all work of a network for inputs of one shape, and return a way to repeat it.

        Raises:
            Exception: the network cannot be recorded, because it reads a value back or waits.
        """

    def tune(self, *, repeated: bool) -> None:
        """Let convolutions search for their fastest kernel, if this shape of input repeats."""

    def release(self) -> None:
        """Wait for all work, and return unused memory to the GPU."""


class Cuda:
    """A GPU of NVIDIA, or of AMD under the same name; see :class:`Gpu` for the methods.

    Args:
        device: of torch.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def stream(self) -> Stream:
        """See :class:`Gpu`."""
        return cast("Stream", torch.cuda.Stream(self._device))  # type: ignore[no-untyped-call]

    def current(self) -> Stream:
        """See :class:`Gpu`."""
        return cast("Stream", torch.cuda.current_stream(self._device))

    def on(self, stream: Stream) -> AbstractContextManager[object]:
        """See :class:`Gpu`."""
        return torch.cuda.stream(stream)  # type: ignore[arg-type]

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """See :class:`Gpu`."""
        return torch.empty(tuple(shape), dtype=dtype, pin_memory=True)

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """See :class:`Gpu`."""
        return torch.empty(tuple(shape), dtype=dtype, device=self._device)

    def copy(self, target: Tensor, source: Tensor) -> None:
        """See :class:`Gpu`."""
        target.copy_(source, non_blocking=True)

    def capture(self, network: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[Tensor], Tensor]:
        """See :class:`Gpu`; the network has run on such inputs before, which chose its kernels."""
        with torch.cuda.device(self._device):
            with torch.inference_mode(mode=False):  # so that it can be written in any mode
                held = x.clone()
            graph = torch.cuda.CUDAGraph()
            # "thread_local": other members may be at work in other threads.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                output = network(held)

        def repeat(given: Tensor) -> Tensor:
            held.copy_(given)
            graph.replay()
            return output.clone()  # the next run overwrites it

        return repeat

    def tune(self, *, repeated: bool) -> None:
        """See :class:`Gpu`."""
        torch.backends.cudnn.benchmark = repeated

    def release(self) -> None:
        """See :class:`Gpu`."""
        with contextlib.suppress(RuntimeError):  # an earlier error may be reported again here
            torch.cuda.synchronize(self._device)
        torch.cuda.empty_cache()


def of(device: torch.device) -> Gpu | None:
    """The GPU behind a device; None for devices without streams of their own: the CPU and MPS."""
    return Cuda(device) if device.type == "cuda" else None


def fast_bf16(device: torch.device) -> bool:
    """Whether a CUDA device multiplies in bfloat16 itself.

    ``torch.cuda.is_bf16_supported`` also says yes where it is emulated.
    """
    return torch.cuda.get_device_capability(device) >= FAST_BF16


def use_exact_products() -> None:
    """Multiply in the type that was asked for, and sum in float32.

    By default, torch computes float32 convolutions with factors of 11 bits (TF32), and may sum
    16-bit products in 16 bits. A float32 result would then agree with the CPU's to 60 dB only.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
