"""A separator from any network that maps mixtures to stems, both in the time domain."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from demixing.networks import execution
from demixing.networks.autocast import InLowPrecision
from demixing.networks.execution import PreparedNetwork
from demixing.networks.movable import Networks
from demixing.separator import Chunking

Rewrite = Callable[[Any, torch.dtype], nn.Module]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSeparator(Networks):
    """Separates the stems of one network.

    Attributes:
        network: ``(batch, 2, samples)`` to ``(batch, stems, 2, samples)``.
        stems: names of the outputs.
        sample_rate_hz: the rate that the network was trained at.
        chunking: see :mod:`demixing.separators.msst.chunking`.
        normalises: see :mod:`demixing.engine.normalisation`.
        answers_silence: see :func:`demixing.separator.answers_silence`.
    """

    network: PreparedNetwork
    stems: tuple[str, ...]
    sample_rate_hz: int
    chunking: Chunking
    normalises: str = ""
    answers_silence: bool = False

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        return self.network(chunks)


def prepare(
    network: nn.Module,
    *,
    stems: tuple[str, ...],
    sample_rate_hz: int,
    chunking: Chunking,
    normalises: str = "",
    answers_silence: bool = False,
    rewrite: Rewrite | None = None,
    precision: str = "fp32",
    bf16_change_db: float | None = None,
) -> NetworkSeparator:
    """Prepare a network for inference.

    Args:
        network: with its weights; it may be changed.
        stems: see :class:`NetworkSeparator`, also for the next four.
        sample_rate_hz: see there.
        chunking: see there.
        normalises: see there.
        answers_silence: see there.
        rewrite: returns a faster copy of the network with products of a type; None: there is none,
            and low precision means autocast.
        precision: see :mod:`demixing.networks.execution`.
        bf16_change_db: change of the score with bfloat16 in dB, from the catalogue of weights.

    Raises:
        ConfigError: there is no such precision.
    """
    how = execution.choose(precision, change_db=bf16_change_db)
    return NetworkSeparator(
        network=how.prepare(network, rewrite or _plainly),
        stems=stems,
        sample_rate_hz=sample_rate_hz,
        chunking=chunking,
        normalises=normalises,
        answers_silence=answers_silence,
    )


def _plainly(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The network itself, or under autocast."""
    return network if dtype == torch.float32 else InLowPrecision(network, dtype)
