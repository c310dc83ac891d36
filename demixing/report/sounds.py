"""Waveforms that are read in blocks, as often as needed, without being held in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demixing.evaluation import audio

Block = NDArray[np.float64]
"""Consecutive samples, ``(samples, channels)``, full scale at ±1."""

BLOCK = 1 << 16
"""Samples per block: about 1.5 s, small enough for several at a time."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A waveform of known length.

    Attributes:
        rate_hz: sample rate.
        channels: number of channels.
        samples: per channel.
        blocks: starts to read it; all blocks but the last have :data:`BLOCK` samples.
    """

    rate_hz: int
    channels: int
    samples: int
    blocks: Callable[[], Iterator[Block]]

    @property
    def seconds(self) -> float:
        """Length."""
        return self.samples / self.rate_hz


def of_file(path: Path) -> Sound:
    """The sound of a wav or flac file.

    Raises:
        EvaluationError: it cannot be read.
    """
    layout = audio.probe(path)
    return Sound(
        layout.sample_rate_hz,
        layout.channels,
        layout.samples,
        lambda: audio.blocks(path, layout.samples, BLOCK),
    )


def of_sides(paths: Sequence[Path]) -> Sound:
    """The sound of one file, or of a left and a right file.

    Raises:
        EvaluationError: one cannot be read.
    """
    sides = [of_file(path) for path in paths]
    if len(sides) == 1:
        return sides[0]
    first = sides[0]
    samples = min(side.samples for side in sides)

    def blocks() -> Iterator[Block]:
        for parts in zip(*(side.blocks() for side in sides), strict=False):
            length = min(map(len, parts))
            yield np.concatenate([part[:length] for part in parts], axis=1)

    channels = sum(side.channels for side in sides)
    return Sound(first.rate_hz, channels, samples, blocks)


def evenly(blocks: Iterable[Block], samples: int, channels: int) -> Iterator[Block]:
    """Cut a stream of any blocks into blocks of :data:`BLOCK` samples.

    Args:
        blocks: of any length; mono is copied to all channels.
        samples: length of the result, which is cut or padded with silence.
        channels: of the result.
    """
    rest = np.zeros((0, channels))
    left = samples
    for block in blocks:
        rest = np.concatenate([rest, np.broadcast_to(block, (len(block), channels))])
        while len(rest) >= BLOCK and left > 0:
            yield rest[: min(BLOCK, left)]
            left -= min(BLOCK, left)
            rest = rest[BLOCK:]
    rest = np.concatenate([rest[:left], np.zeros((max(left - len(rest), 0), channels))])
    for start in range(0, len(rest), BLOCK):
        yield rest[start : start + BLOCK]
