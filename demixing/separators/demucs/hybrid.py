"""Makes a separator of networks of Demucs v3 and v4 that somebody has built and filled.

The networks map audio to stems, both in the time domain. Their own driver cuts a song into segments
that overlap by a quarter and weights them with triangles; where no more than two segments overlap,
triangles that are divided by their sum are straight cross-fades, which is what
:class:`demixing.chunks.overlap_add.OverlapAdd` does. A segment begins at every hop. Those that
reach beyond the end of the song are moved back by half of that for v4, and cut for v3; v3's
networks without a spectrogram want certain lengths, so their segments get real neighbours on both
sides.

A bag of networks answers with a weighted mean, chunk by chunk; that is the same as theirs of whole
songs, because joining chunks is linear. Songs are normalised as by their command line.

Source: Défossez, "Hybrid spectrogram and waveform source separation", MDX workshop 2021; Rouard,
Massa, Défossez, "Hybrid transformers for music source separation", ICASSP 2023.
"""

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from demixing.networks import execution
from demixing.networks.execution import Placed
from demixing.networks.movable import Networks
from demixing.networks.rewrites import rewrite
from demixing.separator import Chunking

OVERLAP = 0.25
"""Of a segment, with the next."""

Lengths = Callable[[int], int]
"""Says how many samples a network must be given for so many in their middle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Networks):
    """One network of a bag.

    Attributes:
        run: the network, ``(batch, 2, samples)`` to ``(batch, outputs, 2, samples)``.
        weights: of its answers, for each stem of the separator.
        outputs: which of its answers is which stem of the separator.
        lengths: that it wants.
    """

    run: Placed
    weights: tuple[float, ...]
    outputs: tuple[int, ...]
    lengths: Lengths = int

    def add(self, total: Tensor | None, chunks: Tensor, context: int) -> Tensor:
        """Add what the network makes of the middle of chunks.

        Args:
            total: changed in place, ``(batch, stems, 2, chunk)``; made if there is none yet, after
                the network has run and freed what it needed.
            chunks: ``(batch, 2, chunk)``.
            context: samples at both ends of them that are not asked for.
        """
        samples = chunks.shape[-1] - 2 * context
        wanted = self.lengths(samples)
        before = (wanted - samples) // 2
        start = context - before
        answer = self.run(chunks[..., start : start + wanted])[..., before : before + samples]
        if total is None:
            total = chunks.new_zeros(len(chunks), len(self.weights), *chunks.shape[1:])
        middle = total[..., context : context + samples]
        for index, (weight, output) in enumerate(zip(self.weights, self.outputs, strict=True)):
            if weight:
                middle[:, index].add_(answer[:, output], alpha=weight)
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Hybrid(Networks):
    """Networks as one separator.

    Attributes:
        parts: whose answers are summed.
        stems: what they give.
        sample_rate_hz: that they were trained at.
        chunking: their segments, with the context that some of them want.
        normalises: see :mod:`demixing.engine.normalisation`.
    """

    parts: tuple[Part, ...]
    stems: tuple[str, ...]
    sample_rate_hz: int
    chunking: Chunking
    normalises: str = "mono"

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        total: Tensor | None = None
        for part in self.parts:
            total = part.add(total, chunks, self.chunking.context)
        assert total is not None  # there is at least one network
        return total


def place(
    network: nn.Module,
    weights: Sequence[float],
    outputs: Sequence[int],
    *,
    lengths: Lengths = int,
    spare: bool = False,
    precision: str = "fp32",
    bf16_change_db: float | None = None,
) -> Part:
    """Make one network of a bag ready.

    Args:
        network: with its weights.
        weights: of its answers, for each stem of the separator.
        outputs: which of its answers is which stem of the separator.
        lengths: that it wants.
        spare: whether nobody else needs the network, so that it need not be copied.
        precision: see :mod:`demixing.networks.execution`.
        bf16_change_db: of these weights, from the register.

    Raises:
        ConfigError: there is no such precision.
    """
    how = execution.choose(precision, change_db=bf16_change_db)
    prepare = rewrite if lengths is int else _lightly
    return Part(
        run=how.prepare(network, functools.partial(prepare, spare=spare)),
        weights=tuple(weights),
        outputs=tuple(outputs),
        lengths=lengths,
    )


def joined(
    parts: Sequence[Part],
    stems: Sequence[str],
    *,
    segment_s: float,
    sample_rate_hz: int = 44_100,
    any_length: bool = False,
    overlap: float = OVERLAP,
) -> Hybrid:
    """Make a separator of the networks of a bag.

    Args:
        parts: see :func:`place`.
        stems: what they give.
        segment_s: length of their segments: 7.8 s for v4, 44 s for v3.
        sample_rate_hz: that they were trained at.
        any_length: whether they take shorter segments too, as v3 does.
        overlap: of a segment, with the next.
    """
    segment = int(sample_rate_hz * segment_s)
    context = max(_context(part.lengths, segment) for part in parts)
    # Context cannot be shortened along with a chunk: the networks' lengths need all of it.
    shorter = (segment // 2, segment // 4) if any_length and not context else ()
    return Hybrid(
        parts=tuple(parts),
        stems=tuple(stems),
        sample_rate_hz=sample_rate_hz,
        chunking=Chunking(
            chunk=segment + 2 * context,
            hop=int((1 - overlap) * segment),
            context=context,
            shorter=shorter,
            every_hop=True,
            ragged=any_length,
            centred=not any_length,
            padded=context > 0,
        ),
    )


def adapt(
    network: nn.Module,
    stems: Sequence[str],
    *,
    segment_s: float,
    sample_rate_hz: int = 44_100,
    any_length: bool = False,
    lengths: Lengths = int,
    spare: bool = False,
    precision: str = "fp32",
) -> Hybrid:
    """Make a separator of one network; see :func:`place` and :func:`joined`.

    Raises:
        ConfigError: there is no such precision.
    """
    part = place(
        network,
        [1.0] * len(stems),
        range(len(stems)),
        lengths=lengths,
        spare=spare,
        precision=precision,
    )
    return joined(
        [part], stems, segment_s=segment_s, sample_rate_hz=sample_rate_hz, any_length=any_length
    )


def _lightly(network: nn.Module, dtype: torch.dtype, *, spare: bool) -> nn.Module:
    """Copy a network without a spectrogram: half its time goes into LSTMs, which do not get faster.

    In float32 the rewrites of its convolutions cost as much as they gain.
    """
    if dtype != torch.float32:
        return rewrite(network, dtype, spare=spare)
    plain = network if spare else copy.deepcopy(network)
    return plain.eval().requires_grad_(requires_grad=False)


def _context(lengths: Lengths, segment: int) -> int:
    """How much context segments of up to so many samples need for a network's lengths.

    >>> _context(lambda samples: -(-samples // 8) * 8, 20)
    4
    """
    most, samples = 0, 1
    while samples <= segment:  # just above a length that it takes it wants the most
        wanted = lengths(samples)
        most = max(most, wanted - samples)
        samples = wanted + 1
    return -(-most // 2)
