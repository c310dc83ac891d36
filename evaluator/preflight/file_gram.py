"""The Gram matrix of a song's files, from which all gains and swaps follow.

It is summed in one pass over the files, in constant memory.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from demixing.evaluation.gram import Gram
from evaluator.preflight.files import Reader, SongFiles

BLOCK = 2**18
"""Samples per read."""

FULL_SCALE = 1 - 2**-15
"""The largest value in a 16-bit file."""

SILENT = 1e-4
"""RMS below which a file counts as silent: 3 steps of a 16-bit file."""

MIXTURE = "mixture"

TOTAL = "sum of the estimates"

TINY = 1e-30
"""Lower bound of a divisor, so that ratios of silence are finite."""


def estimate(stem: str) -> str:
    """Name of a separated stem among a song's files."""
    return f"estimate {stem}"


def reference(stem: str) -> str:
    """Name of a true stem among a song's files."""
    return f"reference {stem}"


def channel_names(file: str, channels: int) -> list[str]:
    """Names of a file's channels among the signals of the Gram matrix."""
    return [f"{file}/{channel}" for channel in range(channels)]


@dataclass(frozen=True, kw_only=True)
class FileGram:
    """Inner products of files, named by :func:`estimate`, :func:`reference` and the constants.

    Attributes:
        gram: Gram matrix of all channels of all files, named by :func:`channel_names`.
        channels: number of channels of each file.
        values: samples times channels.
        unfit: number of samples that are NaN or infinite, by stem; they count as silence.
        full: number of samples at full scale, by stem.
        mixture_full: number of samples at full scale in the mixture.
        peaks: largest magnitude of the mixture and of each true stem, by name.
    """

    gram: Gram
    channels: int
    values: int
    unfit: Mapping[str, int]
    full: Mapping[str, int]
    mixture_full: int
    peaks: Mapping[str, float]

    @classmethod
    def of(cls, files: SongFiles) -> Self:
        """Read all files of a song.

        Raises:
            EvaluationError: one is damaged.
        """
        stems, channels = list(files.estimates), files.layout.channels
        names = [*map(estimate, stems), *map(reference, files.references), MIXTURE, TOTAL]
        total = np.zeros((len(names) * channels,) * 2)
        unfit, full, mixture_full = dict.fromkeys(stems, 0), dict.fromkeys(stems, 0), 0
        peaks = dict.fromkeys([*map(reference, files.references), MIXTURE], 0.0)
        with Reader(files) as reader:
            for start in range(0, files.layout.samples, BLOCK):
                stop = min(start + BLOCK, files.layout.samples)
                parts = []
                for stem in stems:
                    audio = reader.estimate(stem, start, stop)
                    good = np.isfinite(audio)
                    unfit[stem] += int(np.count_nonzero(~good))
                    full[stem] += int(np.count_nonzero(np.abs(audio[good]) >= FULL_SCALE))
                    parts.append(np.where(good, audio, 0))
                parts += [reader.reference(stem, start, stop) for stem in files.references]
                mixture = reader.mixture(start, stop)
                for name, audio in zip(peaks, [*parts[len(stems) :], mixture], strict=True):
                    peaks[name] = max(peaks[name], float(np.abs(audio).max()))
                mixture_full += int(np.count_nonzero(np.abs(mixture) >= FULL_SCALE))
                whole = np.sum(parts[: len(stems)], axis=0)
                block = np.concatenate([*parts, mixture, whole], axis=1)
                total += block.T @ block
        return cls(
            gram=Gram(
                tuple(one for name in names for one in channel_names(name, channels)), total[None]
            ),
            channels=channels,
            values=files.layout.samples * channels,
            unfit=unfit,
            full=full,
            mixture_full=mixture_full,
            peaks=peaks,
        )

    def product(self, one: str, other: str) -> float:
        """Inner product of two files."""
        return float(np.trace(self._block(one, other)))

    def energy(self, name: str) -> float:
        """Inner product of a file with itself."""
        return self.product(name, name)

    def silent(self, name: str) -> bool:
        """Whether a file is too quiet to be compared."""
        return self.energy(name) <= SILENT**2 * self.values

    def likeness(self, one: str, other: str) -> float:
        """Correlation of two files, from -1 to 1; 0 if one is silent."""
        if self.silent(one) or self.silent(other):
            return 0.0
        return self.product(one, other) / math.sqrt(self.energy(one) * self.energy(other))

    def width(self, name: str) -> float:
        """Share of a stereo file's energy that is in the difference of left and right."""
        return self._side(name, name) / 2 / max(self.energy(name), TINY)

    def sides(self, one: str, other: str) -> float:
        """Correlation of the differences of left and right of two stereo files, -1 to 1."""
        first, second = max(self._side(one, one), 0), max(self._side(other, other), 0)
        return self._side(one, other) / max(math.sqrt(first * second), TINY)

    @property
    def stereo(self) -> bool:
        """Whether there are a left and a right channel."""
        return self.channels == 2

    def _side(self, one: str, other: str) -> float:
        """Inner product of the differences of left and right of two stereo files."""
        weights = np.array([1.0, -1.0])
        return float(weights @ self._block(one, other) @ weights)

    def _block(self, one: str, other: str) -> NDArray[np.float64]:
        """Products of the channels of two files, ``(channels, channels)``."""
        rows, columns = (channel_names(name, self.channels) for name in (one, other))
        return self.gram.among(rows, columns)
