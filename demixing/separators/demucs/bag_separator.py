"""A separator of Demucs v3 and v4 networks, alone or in a bag.

The networks map audio to stems, both in the time domain. Demucs' own driver cuts a song into
segments that overlap by a quarter and weights them with triangles w. Where no more than two
segments overlap, w1 / (w1 + w2) is a straight line, so dividing by the sum of the triangles is the
linear cross-fade of :class:`demixing.chunks.overlap_add.OverlapAdd`. A segment starts at every hop.
One that reaches beyond the end of the song is moved back by half of the excess (v4), or shortened
(v3). Networks of v3 without a spectrogram only accept certain lengths, so their segments are
extended on both sides by the surrounding audio.

The output of a bag is the weighted mean of its networks,

    y_stem = sum_n weight_n,stem * y_n,stem,      sum_n weight_n,stem = 1,

computed chunk by chunk. This equals the mean over whole songs, because joining chunks is linear.
Songs are normalised as by the authors' command line, unless the authors of a bag do not do that.

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
from demixing.networks.execution import PreparedNetwork
from demixing.networks.movable import Networks
from demixing.networks.rewrites import rewrite
from demixing.separator import Chunking, SongEnd
from demixing.separators.demucs.bags import OVERLAP
from demixing.separators.demucs.hybrid import Hybrid, is_hybrid
from demixing.separators.demucs.spectra import replace_inverse

Lengths = Callable[[int], int]
"""Maps the length of a segment to the input length that a network requires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BagMember(Networks):
    """One network of a bag.

    Attributes:
        run: the network, ``(batch, 2, samples)`` to ``(batch, outputs, 2, samples)``.
        weights: weight of the network in each stem of the separator.
        outputs: index of the network's output for each stem of the separator.
        lengths: lengths that the network accepts.
    """

    run: PreparedNetwork
    weights: tuple[float, ...]
    outputs: tuple[int, ...]
    lengths: Lengths = int

    def add(self, total: Tensor | None, chunks: Tensor, context: int) -> Tensor:
        """Add the network's weighted outputs for the middle of chunks.

        Args:
            total: changed in place, ``(batch, stems, 2, chunk)``. None: zeros, made after the
                network has run and freed its own memory.
            chunks: ``(batch, 2, chunk)``.
            context: samples at both ends of the chunks that need no output.

        Returns:
            ``total``, or the new tensor.
        """
        samples = chunks.shape[-1] - 2 * context
        length = self.lengths(samples)
        before = (length - samples) // 2
        start = context - before
        stems = self.run(chunks[..., start : start + length])[..., before : before + samples]
        if total is None:
            total = chunks.new_zeros(len(chunks), len(self.weights), *chunks.shape[1:])
        middle = total[..., context : context + samples]
        for index, (weight, output) in enumerate(zip(self.weights, self.outputs, strict=True)):
            if weight:
                middle[:, index].add_(stems[:, output], alpha=weight)
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class BagSeparator(Networks):
    """The weighted mean of networks, as one separator.

    Attributes:
        members: the networks.
        stems: names of the outputs.
        sample_rate_hz: the rate that the networks were trained at.
        chunking: segments, with the context that some networks need.
        normalises: see :mod:`demixing.engine.normalisation`.
    """

    members: tuple[BagMember, ...]
    stems: tuple[str, ...]
    sample_rate_hz: int
    chunking: Chunking
    normalises: str = "mono"

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        total: Tensor | None = None
        for member in self.members:
            total = member.add(total, chunks, self.chunking.context)
        assert total is not None  # there is at least one network
        return total


def prepare_member(
    network: nn.Module,
    weights: Sequence[float],
    outputs: Sequence[int],
    *,
    lengths: Lengths = int,
    in_place: bool = False,
    precision: str = "fp32",
    bf16_change_db: float | None = None,
) -> BagMember:
    """Prepare one network of a bag for inference.

    Args:
        network: with its weights.
        weights: weight of the network in each stem of the separator.
        outputs: index of the network's output for each stem of the separator.
        lengths: lengths that the network accepts.
        in_place: change the network itself, which saves a copy.
        precision: see :mod:`demixing.networks.execution`.
        bf16_change_db: change of the score with bfloat16 in dB, from the catalogue of weights.

    Raises:
        ConfigError: there is no such precision.
    """
    how = execution.choose(precision, change_db=bf16_change_db)
    prepare = _rewrite_hybrid if lengths is int else _rewrite_time_domain
    return BagMember(
        run=how.prepare(network, functools.partial(prepare, in_place=in_place)),
        weights=tuple(weights),
        outputs=tuple(outputs),
        lengths=lengths,
    )


def join(
    members: Sequence[BagMember],
    stems: Sequence[str],
    *,
    segment_s: float,
    sample_rate_hz: int = 44_100,
    any_length: bool = False,
    overlap: float = OVERLAP,
    normalises: str = "mono",
) -> BagSeparator:
    """Build a separator from the networks of a bag.

    Args:
        members: see :func:`prepare_member`.
        stems: names of the outputs.
        segment_s: length of a segment in seconds: 7.8 for v4, 44 for v3.
        sample_rate_hz: the rate that the networks were trained at.
        any_length: whether the networks accept shorter segments, as those of v3 do.
        overlap: fraction of a segment that is cross-faded with the next one.
        normalises: see :mod:`demixing.engine.normalisation`.
    """
    segment = int(sample_rate_hz * segment_s)
    context = max(_context(member.lengths, segment) for member in members)
    # Context cannot shrink with a chunk: the networks' input lengths need all of it.
    shorter = (segment // 2, segment // 4) if any_length and not context else ()
    return BagSeparator(
        members=tuple(members),
        stems=tuple(stems),
        sample_rate_hz=sample_rate_hz,
        chunking=Chunking(
            chunk=segment + 2 * context,
            hop=int((1 - overlap) * segment),
            context=context,
            shorter=shorter,
            end=SongEnd.EVERY_HOP_RAGGED if any_length else SongEnd.EVERY_HOP_CENTRED,
        ),
        normalises=normalises,
    )


def adapt(
    network: nn.Module,
    stems: Sequence[str],
    *,
    segment_s: float,
    sample_rate_hz: int = 44_100,
    any_length: bool = False,
    lengths: Lengths = int,
    in_place: bool = False,
    precision: str = "fp32",
) -> BagSeparator:
    """Build a separator from one network; see :func:`prepare_member` and :func:`join`.

    Args:
        network: with its weights.
        stems: names of its outputs, all of them.
        segment_s: see :func:`join`.
        sample_rate_hz: see :func:`join`.
        any_length: see :func:`join`.
        lengths: see :func:`prepare_member`.
        in_place: see :func:`prepare_member`.
        precision: see :func:`prepare_member`.

    Raises:
        ConfigError: there is no such precision.
    """
    member = prepare_member(
        network,
        [1.0] * len(stems),
        range(len(stems)),
        lengths=lengths,
        in_place=in_place,
        precision=precision,
    )
    return join(
        [member], stems, segment_s=segment_s, sample_rate_hz=sample_rate_hz, any_length=any_length
    )


def _rewrite_hybrid(network: nn.Module, dtype: torch.dtype, *, in_place: bool) -> nn.Module:
    """Prepare a network with a spectrogram for inference."""
    faster = rewrite(network, dtype, in_place=in_place)
    if is_hybrid(faster):
        return Hybrid(faster)
    replace_inverse(faster)
    return faster


def _rewrite_time_domain(network: nn.Module, dtype: torch.dtype, *, in_place: bool) -> nn.Module:
    """Prepare a network without a spectrogram for inference.

    Half of its time is spent in LSTMs, which no rewrite makes faster. In float32, rewriting its
    convolutions costs as much as it gains.
    """
    if dtype != torch.float32:
        return rewrite(network, dtype, in_place=in_place)
    plain = network if in_place else copy.deepcopy(network)
    return plain.eval().requires_grad_(requires_grad=False)


def _context(lengths: Lengths, segment: int) -> int:
    """Return the context in samples for segments of up to ``segment`` samples.

    >>> _context(lambda samples: -(-samples // 8) * 8, 20)
    4
    """
    if lengths is int:  # any length is accepted
        return 0
    most, samples = 0, 1
    while samples <= segment:  # a network needs most just above a length that it accepts
        length = lengths(samples)
        most = max(most, length - samples)
        samples = length + 1
    return -(-most // 2)
