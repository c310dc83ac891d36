"""How networks run on this machine: device and precision.

A separator with a network calls :func:`choose` once and passes the network to
:meth:`Execution.prepare`. float32 is the default everywhere. bfloat16 is only used on request, or
with ``auto`` if the processor is fast at it and the measured change in the weights' score
is at most :data:`HARMLESS_DB`.
"""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from demixing.errors import ConfigError
from demixing.machine.device import chosen_device, described, unused_gpu
from demixing.machine.linux import cpu_flags

logger = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)

PRECISIONS = ("fp32", "bf16", "auto")

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
        return PreparedNetwork(faster, self.device, self.dtype if cast else torch.float32)


class PreparedNetwork:
    """A network on its device; its input and output are float32 on the CPU.

    Args:
        network: on the device.
        device: of the network.
        dtype: of its input there.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._network = network
        self._device = device
        self._dtype = dtype

    def __call__(self, x: Tensor) -> Tensor:
        """Run the network on a batch, which may be split along the first axis."""
        if self._device.type == "cuda" and len(x) > 1:
            return self._overlapped(x)
        there = x.to(self._device, self._dtype)
        answer: Tensor = self._network(there)
        return answer.to("cpu", torch.float32)

    def to_cpu(self) -> None:
        """Move to the CPU, because the GPU has too little memory."""
        self._network.to("cpu")
        self._device = torch.device("cpu")

    def _overlapped(self, x: Tensor) -> Tensor:
        """Run a batch in two halves: one is copied while the other is computed.

        Copies go through pinned memory on a separate stream; events keep the order.
        """
        copies = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        here = torch.cuda.current_stream(self._device)
        halves = torch.split(x.pin_memory(), -(-len(x) // 2))
        arrived = []
        with torch.cuda.stream(copies):
            for half in halves:
                there = half.to(self._device, self._dtype, non_blocking=True)
                arrived.append((there, copies.record_event()))
        answers = []
        for there, event in arrived:
            here.wait_event(event)
            there.record_stream(here)  # keeps its memory until the network has read it
            answer = self._network(there).float()
            copies.wait_event(here.record_event())
            with torch.cuda.stream(copies):
                host = torch.empty(answer.shape, pin_memory=True)
                host.copy_(answer, non_blocking=True)
                answer.record_stream(copies)
            answers.append(host)
        copies.synchronize()
        return torch.cat(answers)


def choose(precision: str = "fp32", *, change_db: float | None = None) -> Execution:
    """Choose how to run a network.

    Args:
        precision: one of :data:`PRECISIONS`.
        change_db: change in the weights' score with bfloat16; None if unknown.

    Raises:
        ConfigError: there is no such precision.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    device = chosen_device()
    harmless = change_db is not None and abs(change_db) <= HARMLESS_DB
    fast = bool(FAST_FLAGS & cpu_flags())
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported()
    low = precision == "bf16" or (precision == "auto" and harmless and fast)
    dtype = torch.bfloat16 if low else torch.float32
    _announce(device, dtype)
    return Execution(device=device, dtype=dtype)


@functools.cache
def _announce(device: torch.device, dtype: torch.dtype) -> None:
    """Log once how networks run, and warn if they should run on a GPU but cannot."""
    logger.info("networks run on %s in %s", described(device), str(dtype).removeprefix("torch."))
    if device.type == "cpu" and (reason := unused_gpu()):
        logger.warning("there is a GPU, but networks run on the CPU: %s", reason)
