"""How networks run on this machine: where, in which precision, and on how many threads.

A separator that has a network asks :func:`choose` once and hands the network to
:meth:`Execution.prepare`. float32 is the default everywhere. bfloat16 is only used if it is asked
for, or if ``auto`` finds three things: a processor that multiplies it fast, weights whose score
was measured to change by no more than :data:`HARMLESS_DB`, and the CPU as the device.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from my_submission import threads
from my_submission.errors import ConfigError

logger = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)
PRECISIONS = ("fp32", "bf16", "auto")
HARMLESS_DB = 0.01
"""A change of the score that ``auto`` accepts for speed."""

FAST_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
"""Of the processor: it multiplies bfloat16 at twice the rate of float32 or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """Where and how a network runs.

    Attributes:
        device: of the network; audio comes and goes as float32 on the CPU.
        dtype: of the products inside.
        compiled: by ``torch.compile``; if that fails, the network runs as it is.
    """

    device: torch.device
    dtype: torch.dtype
    compiled: bool = False

    def prepare(
        self, network: Network, rewrite: Callable[[Network, torch.dtype], nn.Module]
    ) -> Callable[[Tensor], Tensor]:
        """Make a network ready.

        Args:
            network: with its weights; it is not touched.
            rewrite: copies a network for inference with products of the given type.

        Returns:
            A function of a float32 tensor on the CPU that returns one.
        """
        faster = rewrite(network, self.dtype).to(self.device)
        run = _Compiled(faster) if self.compiled else faster
        return run if self.device.type == "cpu" else _There(run, self.device)


@dataclass(frozen=True, slots=True)
class _There:
    """Takes tensors to a device and back. Pinned memory lets the copy overlap with work."""

    run: Callable[[Tensor], Tensor]
    device: torch.device

    def __call__(self, x: Tensor) -> Tensor:
        pinned = x.pin_memory() if self.device.type == "cuda" else x
        # The way back must wait: nobody else would know when the result is there.
        answer: Tensor = self.run(pinned.to(self.device, non_blocking=True))
        return answer.cpu()


class _Compiled:
    """A network compiled at its first call; one line in the log if that is not possible."""

    def __init__(self, network: nn.Module) -> None:
        self._plain = network
        self._run: Callable[[Tensor], Tensor] = torch.compile(network)

    def __call__(self, x: Tensor) -> Tensor:
        try:
            answer = self._run(x)
        # No compiler, no space for its files, an operation it does not know: all are its own
        # kinds of errors, and none matters, because the network itself is still there.
        except Exception as error:
            if self._run is self._plain:
                raise
            reason = str(error).partition("\n")[0]
            logger.warning("the network runs without compilation: %s", reason)
            self._run = self._plain
            answer = self._run(x)
        return answer


def choose(
    precision: str = "fp32", *, change_db: float | None = None, compiled: bool = False
) -> Execution:
    """Choose how a network runs here, and set the number of torch's threads.

    Args:
        precision: one of :data:`PRECISIONS`.
        change_db: how much bfloat16 changes the score of these weights; None if nobody measured.
        compiled: whether ``torch.compile`` may be used.

    Raises:
        ConfigError: there is no such precision.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    torch.set_num_threads(threads.chosen())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    harmless = change_db is not None and abs(change_db) <= HARMLESS_DB
    fast = device.type == "cpu" and bool(FAST_FLAGS & processor_flags())
    low = precision == "bf16" or (precision == "auto" and harmless and fast)
    return Execution(
        device=device, dtype=torch.bfloat16 if low else torch.float32, compiled=compiled
    )


def processor_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What the processor can do, in Linux's words; nothing where that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "flags":
            return frozenset(value.split())
    return frozenset()
