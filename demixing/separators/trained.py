"""Any network that was trained here: its file names the network and its stems.

``demixing export`` writes such files and their catalogue entries; those that come with the package
are in models/weights. A network in ``demixing/networks/trainable`` maps a stereo mixture to
waveforms of its stems, and declares its chunk geometry.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from demixing.errors import CheckpointError
from demixing.networks import execution, trainable
from demixing.networks.chunk_geometry import ChunkGeometry
from demixing.networks.movable import Networks
from demixing.separator import Chunking
from demixing.weights import checkpoints
from demixing.weights.loading import empty, fill


@dataclass(frozen=True, slots=True)
class Trained(Networks):
    """Separates the stems of one network.

    Attributes:
        network: ``(batch, 2, samples)`` to ``(batch, stems, 2, samples)``.
        stems: names of the outputs.
        sample_rate_hz: the rate that the network was trained at.
        chunking: the chunk geometry of the network.
    """

    network: Callable[[Tensor], Tensor]
    stems: tuple[str, ...]
    sample_rate_hz: int
    chunking: Chunking

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        return self.network(chunks)


def of_network(network: ChunkGeometry, stems: Sequence[str]) -> Trained:
    """Build a separator from a network without preparing it; training scores networks this way.

    Args:
        network: ``(batch, 2, samples)`` to ``(batch, stems, 2, samples)``.
        stems: names of its outputs.
    """
    return Trained(network, tuple(stems), network.sample_rate_hz, chunking(network))


def chunking(network: ChunkGeometry) -> Chunking:
    """Return the chunks that a network declares."""
    return Chunking(
        chunk=network.chunk,
        hop=network.hop,
        context=network.context,
        step=network.step,
        shorter=network.shorter,
    )


def required_weights(weights: str) -> list[str]:
    """Return the catalogue names of the weights that :func:`build` opens."""
    return [weights]


def build(weights: str, precision: str = "fp32") -> Trained:
    """Load a network.

    Args:
        weights: catalogue name of the weights.
        precision: of the network, see :mod:`demixing.networks.execution`.

    Raises:
        CheckpointError: the file is missing, altered, or of an unknown network.
        ConfigError: there is no such precision.
    """
    entry = checkpoints.find(weights)
    contents = checkpoints.contents(entry)
    options = dict(contents.arguments)
    stems = tuple(options.pop("stems", ()))
    if list(stems) != list(entry.stems):
        raise CheckpointError(
            f"expected the weights {weights!r} to output {', '.join(entry.stems)}, "
            f"got {', '.join(map(str, stems)) or 'none'}"
        )
    try:
        network = empty(lambda: trainable.build(contents.network, stems, options))
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"cannot build a network for the weights {weights!r}: {error}"
        ) from error
    fill(network, contents.state, weights)
    how = execution.choose(precision, change_db=entry.bf16_change_db)
    placed = how.prepare(network, functools.partial(trainable.prepared, in_place=True))
    return Trained(placed, stems, network.sample_rate_hz, chunking(network))
