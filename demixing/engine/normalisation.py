"""Input normalisation, for networks that expect songs of zero mean and unit deviation.

Demucs subtracts the mean of a song and divides by its standard deviation before cutting it into
chunks. A stream knows neither, so they are measured first, in an additional pass over the file. The
mixture minus a stem is normalised like the mixture itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from demixing import audio
from demixing.separator import Separator, input_normalisation

EPSILON = 1e-8
"""Added to deviations to avoid division by 0 in silence; the value is that of Demucs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SongStatistics:
    """The mean and the deviations of each stereo pair of a song.

    Attributes:
        mean: of all samples.
        mono: standard deviation of the mean of left and right.
        stereo: standard deviation of all samples.
    """

    mean: tuple[float, ...]
    mono: tuple[float, ...]
    stereo: tuple[float, ...]

    @classmethod
    def of(cls, blocks: Iterable[Tensor]) -> "SongStatistics":
        """Measure a song given in blocks of ``(channels, samples)``, in float64.

        >>> SongStatistics.of([torch.tensor([[1.0, -1.0], [1.0, -1.0]])]).mono
        (1.4142135623730951,)
        """
        samples = 0
        total = mono = stereo = torch.zeros(1, dtype=torch.float64)
        for block in blocks:
            pairs = audio.to_pairs(block).double()
            samples += block.shape[-1]
            total = total + pairs.sum(dim=(1, 2))
            mono = mono + pairs.mean(dim=1).square().sum(dim=1)
            stereo = stereo + pairs.square().sum(dim=(1, 2))
        mean = total / max(2 * samples, 1)
        return cls(
            mean=tuple(mean.tolist()),
            mono=tuple(_deviation(mono, mean, samples).tolist()),
            stereo=tuple(_deviation(stereo, mean, 2 * samples).tolist()),
        )


def _deviation(squares: Tensor, mean: Tensor, count: int) -> Tensor:
    """Unbiased standard deviation from sums, as torch computes it; 0 for a single sample."""
    return ((squares - count * mean.square()).clamp(min=0) / max(count - 1, 1)).sqrt()


class Normaliser:
    """Normalises a song as a separator expects, and undoes it in the stems.

    Args:
        separator: may have an attribute ``normalises``, ``"mono"`` or ``"stereo"``.
        statistics: of the song.
        groups: stereo pairs of the song.

    Raises:
        ValueError: the separator needs the statistics and they are missing.
    """

    def __init__(
        self, separator: Separator, statistics: SongStatistics | None, groups: int
    ) -> None:
        self._mean = torch.zeros(groups, 1, 1)
        self._deviation = torch.ones(groups, 1, 1)
        kind = input_normalisation(separator)
        self._needed = kind != ""
        if not self._needed:
            return
        if statistics is None:
            raise ValueError("a member normalises songs, so the song's statistics must be given")
        deviation = {"mono": statistics.mono, "stereo": statistics.stereo}[kind]
        self._mean[:, 0, 0] = torch.tensor(statistics.mean)
        self._deviation[:, 0, 0] = torch.tensor(deviation) + EPSILON

    def into(self, block: Tensor) -> Tensor:
        """Normalise a block of the song, ``(groups, 2, samples)``."""
        return (block - self._mean) / self._deviation if self._needed else block

    def back(self, stems: Tensor, valid: Tensor | None = None) -> Tensor:
        """Undo the normalisation in stems, ``(groups, stems, 2, samples)``.

        Args:
            stems: of the separator.
            valid: see :class:`demixing.chunks.answer.Answer`; where it is 0, the stems stay silent.
        """
        if not self._needed:
            return stems
        stems = stems * self._deviation[..., None] + self._mean[..., None]
        return stems if valid is None else stems - (1 - valid) * self._mean[..., None]
