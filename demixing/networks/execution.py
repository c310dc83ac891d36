"""How networks run on this machine: device and precision.

A separator with a network calls :func:`choose` once and passes the network to
:meth:`Execution.prepare`. float32 is the default everywhere. bfloat16 is only used on request, or
with ``auto`` if the processor is fast at it and the measured change in the weights' score
is at most :data:`HARMLESS_DB`. float16 is for GPUs without bfloat16, only on request: its range
ends at 65504, and no weights' scores were measured with it.

On a GPU with CUDA, batches are copied while others are computed (:mod:`demixing.networks.transfer`)
and networks may become graphs (:mod:`demixing.networks.graphs`).
"""

import functools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from demixing.errors import ConfigError
from demixing.machine import cuda
from demixing.machine.cuda import Gpu
from demixing.machine.device import chosen_device, headline, unused_gpu
from demixing.machine.linux import cpu_flags
from demixing.networks import graphs
from demixing.networks.graphs import Graphed
from demixing.networks.transfer import Overlapped

logger = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = (*DTYPES, "auto")

HARMLESS_DB = 0.01
"""Largest change in score that ``auto`` accepts for speed."""

FAST_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
"""Processor features with bfloat16 products at twice the rate of float32 or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """Device and precision of a network.

    Attributes:
        device: of the network; its input and output are float32 on the CPU.
        dtype: of its products.
    """

    device: torch.device
    dtype: torch.dtype

    def prepare(
        self,
        network: Network,
        rewrite: Callable[[Network, torch.dtype], nn.Module],
        *,
        cast: bool = False,
    ) -> "PreparedNetwork":
        """Prepare a network for inference on this device.

        Args:
            network: with its weights; not changed.
            rewrite: copies a network for inference, with products of the given type.
            cast: convert the input to that type, if the copy does not do so itself.

        Returns:
            A function of a float32 tensor on the CPU that returns one.
        """
        faster = rewrite(network, self.dtype).to(self.device)
        dtype = self.dtype if cast else torch.float32
        return PreparedNetwork(faster, self.device, dtype, cuda.of(self.device))


class PreparedNetwork:
    """A network on its device; its input and output are float32 on the CPU.

    Args:
        network: on the device.
        device: of the network.
        dtype: of its input there.
        gpu: streams and memory of the device; None: it has none, and batches are copied plainly.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        dtype: torch.dtype,
        gpu: Gpu | None = None,
    ) -> None:
        self._network = network
        self._device = device
        self._dtype = dtype
        self._shape: torch.Size | None = None
        self._busy = threading.Lock()
        self.use(gpu, record=graphs.wanted())

    def use(self, gpu: Gpu | None, *, record: bool) -> None:
        """Choose how batches are copied, and whether the network becomes graphs.

        Args:
            gpu: see the class.
            record: see :mod:`demixing.networks.graphs`.
        """
        self._gpu = gpu
        self._graphed: Graphed | None = None
        self._overlapped: Overlapped | None = None
        if gpu is not None:
            self._graphed = Graphed(self._network, gpu) if record else None
            self._overlapped = Overlapped(self._graphed or self._network, gpu, self._dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Run the network on a batch, which may be split along the first axis."""
        # A call that timed out may still be using the buffers.
        if self._gpu is not None and self._busy.acquire(blocking=False):
            try:
                return self._on_gpu(x, self._gpu)
            except RuntimeError:  # most likely, memory has run out
                if self._graphed is not None:
                    self._graphed.forget()
                raise
            finally:
                self._busy.release()
        return self._plainly(x, self._network)

    def to_cpu(self) -> None:
        """Move to the CPU, because the GPU has too little memory."""
        gpu = self._gpu
        self.use(None, record=False)
        self._device = torch.device("cpu")
        self._network.to("cpu")
        if gpu is not None:
            gpu.release()

    def _on_gpu(self, x: Tensor, gpu: Gpu) -> Tensor:
        """Run the network on a GPU with streams."""
        # Searching for the fastest kernel takes longer than a run, so the shape must repeat.
        gpu.tune(repeated=x.shape == self._shape)
        self._shape = x.shape
        if len(x) > 1 and self._overlapped is not None:
            return self._overlapped(x)
        return self._plainly(x, self._graphed or self._network)

    def _plainly(self, x: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
        """Copy a batch to the device, run the network, and copy its output back."""
        there = x.to(self._device, self._dtype)
        return run(there).to("cpu", torch.float32)


def choose(precision: str = "fp32", *, change_db: float | None = None) -> Execution:
    """Choose how to run a network.

    Args:
        precision: one of :data:`PRECISIONS`.
        change_db: change in the weights' score with bfloat16; None if unknown.

    Raises:
        ConfigError: there is no such precision, or the CPU does not have it.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    device = chosen_device()
    if precision == "fp16" and device.type == "cpu":
        raise ConfigError("precision fp16 needs a GPU, and networks run on the CPU; use bf16")
    if precision == "auto":
        harmless = change_db is not None and abs(change_db) <= HARMLESS_DB
        precision = "bf16" if harmless and fast_bf16(device) else "fp32"
    if device.type == "cuda":
        cuda.use_exact_products()
    _announce(device, precision)
    return Execution(device=device, dtype=DTYPES[precision])


def fast_bf16(device: torch.device) -> bool:
    """Whether a device multiplies in bfloat16 faster than in float32; not known of Apple's."""
    if device.type == "cuda":
        return cuda.fast_bf16(device)
    return device.type == "cpu" and bool(FAST_FLAGS & cpu_flags())


@functools.cache
def _announce(device: torch.device, precision: str) -> None:
    """Log once how networks run, and warn if they should run on a GPU but cannot."""
    logger.info("%s", headline(device, precision))
    if device.type == "cpu" and (reason := unused_gpu()):
        logger.warning("there is a GPU, but networks run on the CPU: %s", reason)
