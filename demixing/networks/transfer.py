"""Batches go to a GPU and back while it computes.

A batch is split into parts. While part n is computed, part n + 1 is copied to the GPU, and the
output of part n - 1 back, on streams of their own and through pinned memory:

    to the GPU     0  1  2  3
    network           0  1  2  3
    to the host          0  1  2  3

There are two sets of buffers. Events mark when a buffer may be read or overwritten.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from demixing.machine.cuda import Event, Gpu

PARTS = 4
"""Parts of a batch, if it has that many chunks. Smaller ones would keep less of a GPU busy."""


class _Buffers:
    """Buffers of one part.

    Attributes:
        host: the input on the host.
        there: the input on the GPU.
        arrived: the input is on the GPU; None before the first copy.
        computed: the network has read it, and its output is there; None before.
        output: of the network, on the GPU.
        back: the output on the host, with room for a whole part.
        left: the output is on the host.
    """

    def __init__(self, gpu: Gpu, shape: Sequence[int], dtype: torch.dtype) -> None:
        self.host, self.there = gpu.pinned(shape, dtype), gpu.empty(shape, dtype)
        self.arrived: Event | None = None
        self.computed: Event | None = None
        self.output: Tensor | None = None
        self.back: Tensor | None = None
        self.left: Event | None = None


class Overlapped:
    """Runs a network on a GPU; its input and output are on the host.

    Args:
        network: on the GPU.
        gpu: the GPU.
        dtype: of the network's input.
        parts: see :data:`PARTS`.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        gpu: Gpu,
        dtype: torch.dtype,
        parts: int = PARTS,
    ) -> None:
        self._network, self._gpu, self._dtype, self._parts = network, gpu, dtype, parts
        self._inward, self._outward = gpu.stream(), gpu.stream()
        self._shape: tuple[int, ...] = ()
        self._buffers: list[_Buffers] = []

    def __call__(self, x: Tensor) -> Tensor:
        """Run the network.

        Args:
            x: batch on the host, split along the first axis.

        Returns:
            float32 on the host.

        Raises:
            RuntimeError: any error of the network; by then all copies are done and buffers freed.
        """
        try:
            return self._run(torch.split(x, -(-len(x) // self._parts)), len(x))
        except BaseException:
            self.forget()
            raise

    def forget(self) -> None:
        """Wait for all copies, and free the buffers."""
        self._gpu.release()
        self._buffers, self._shape = [], ()

    def _run(self, parts: Sequence[Tensor], count: int) -> Tensor:
        """Run the network on all parts."""
        buffers = self._buffers_for(tuple(parts[0].shape))
        answer: Tensor | None = None
        done = 0
        self._send(parts[0], buffers[0])
        for index, part in enumerate(parts):
            if index + 1 < len(parts):  # first, so that the copy starts even if a network waits
                self._send(parts[index + 1], buffers[(index + 1) % 2])
            self._compute(buffers[index % 2], len(part))
            if index:
                answer, done = self._received(buffers[(index - 1) % 2], answer, done, count)
        answer, _ = self._received(buffers[(len(parts) - 1) % 2], answer, done, count)
        return answer

    def _buffers_for(self, shape: tuple[int, ...]) -> list[_Buffers]:
        """The two sets of buffers for parts of a shape, kept for the next batch."""
        if shape != self._shape:
            self._buffers = []  # free the old ones first
            with torch.inference_mode(mode=False):  # so that they can be written in any mode
                self._buffers = [_Buffers(self._gpu, shape, self._dtype) for _ in range(2)]
            self._shape = shape
        return self._buffers

    def _send(self, part: Tensor, buffers: _Buffers) -> None:
        """Start to copy a part to the GPU."""
        if buffers.arrived is not None:
            buffers.arrived.synchronize()  # the GPU has read the host's buffer
        host, there = buffers.host[: len(part)], buffers.there[: len(part)]
        host.copy_(part)
        if buffers.computed is not None:
            self._inward.wait_event(buffers.computed)  # the network has read the GPU's buffer
        with self._gpu.on(self._inward):
            self._gpu.copy(there, host)
        buffers.arrived = self._inward.record_event()

    def _compute(self, buffers: _Buffers, count: int) -> None:
        """Start the network, and the copy of its output to the host."""
        here = self._gpu.current()
        assert buffers.arrived is not None
        here.wait_event(buffers.arrived)
        buffers.output = output = self._network(buffers.there[:count]).detach()
        buffers.computed = here.record_event()
        back = self._room(buffers, output)
        self._outward.wait_event(buffers.computed)
        with self._gpu.on(self._outward):
            self._gpu.copy(back, output)
        buffers.left = self._outward.record_event()

    def _room(self, buffers: _Buffers, output: Tensor) -> Tensor:
        """Memory on the host for an output, which is kept for the next one."""
        shape, back = output.shape, buffers.back
        if back is None or back.shape[1:] != shape[1:] or back.dtype != output.dtype:
            with torch.inference_mode(mode=False):
                whole = (len(buffers.there), *shape[1:])
                back = buffers.back = self._gpu.pinned(whole, output.dtype)
        return back[: len(output)]

    def _received(
        self, buffers: _Buffers, answer: Tensor | None, done: int, count: int
    ) -> tuple[Tensor, int]:
        """Wait for the output of a part, and add it to the answer.

        Args:
            buffers: of the part.
            answer: the outputs of earlier parts, with room for all; None before the first.
            done: chunks in it.
            count: chunks of the batch.

        Returns:
            The answer, and the chunks in it.
        """
        assert buffers.left is not None
        assert buffers.back is not None
        assert buffers.output is not None
        buffers.left.synchronize()
        back = buffers.back[: len(buffers.output)]
        buffers.output = None  # its memory may be used again only now
        if answer is None:
            answer = torch.empty((count, *back.shape[1:]))
        answer[done : done + len(back)] = back
        return answer, done + len(back)
