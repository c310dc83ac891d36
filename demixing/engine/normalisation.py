"""Input normalisation, for networks that expect songs of a certain level.

Demucs subtracts the mean of a song and divides by its standard deviation before cutting it into
chunks. MRX expects songs of a certain loudness. A stream knows none of these, so they are measured
first, in an additional pass over the file. The mixture minus a stem is normalised like the mixture
itself.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from demixing import audio, separators
from demixing.recipes.recipe import Recipe
from demixing.separator import Loudness, Separator, input_normalisation

EPSILON = 1e-8
"""Added to deviations to avoid division by 0 in silence; the value is that of Demucs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SongStatistics:
    """The mean and the deviations of each stereo pair of a song.

    Attributes:
        mean: of all samples.
        mono: standard deviation of the mean of left and right.
        stereo: standard deviation of all samples.
        population: like ``mono``, divided by the number of samples and not by one less.
        lufs: integrated loudness; minus infinity for silence; empty if it was not measured.
    """

    mean: tuple[float, ...]
    mono: tuple[float, ...]
    stereo: tuple[float, ...]
    population: tuple[float, ...] = ()
    lufs: tuple[float, ...] = ()

    @classmethod
    def of(cls, blocks: Iterable[Tensor]) -> "SongStatistics":
        """Measure a song given in blocks of ``(channels, samples)``, in float64.

        The loudness is not measured, which takes longer than all the rest; see :func:`measured`.

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
        unbiased = _deviation(mono, mean, samples)
        biased = unbiased * math.sqrt(max(samples - 1, 0) / max(samples, 1))
        return cls(
            mean=tuple(mean.tolist()),
            mono=tuple(unbiased.tolist()),
            population=tuple(biased.tolist()),
            stereo=tuple(_deviation(stereo, mean, 2 * samples).tolist()),
        )


def measured(recipe: Recipe, blocks: Iterable[Tensor], sample_rate_hz: int) -> SongStatistics:
    """Measure what the members of a recipe may need.

    Args:
        recipe: decides whether the loudness is measured.
        blocks: the song in blocks of ``(channels, samples)``.
        sample_rate_hz: of the song.

    Raises:
        SongError: the loudness of a song in this format cannot be measured.
    """
    if all(separators.target_lufs(member.separator) is None for member in recipe.members):
        return SongStatistics.of(blocks)
    from demixing.audio.loudness import LoudnessMeter  # scipy takes a second to import

    meters: list[LoudnessMeter] = []

    def passed_on() -> Iterator[Tensor]:
        for block in blocks:
            if not meters:
                audio.check_format(sample_rate_hz, block.shape[0])
                meters.append(LoudnessMeter(sample_rate_hz, block.shape[0]))
            meters[0].push(block)
            yield block

    statistics = SongStatistics.of(passed_on())
    return dataclasses.replace(statistics, lufs=meters[0].lufs() if meters else (-math.inf,))


def _deviation(squares: Tensor, mean: Tensor, count: int) -> Tensor:
    """Unbiased standard deviation from sums, as torch computes it; 0 for a single sample."""
    return ((squares - count * mean.square()).clamp(min=0) / max(count - 1, 1)).sqrt()


def _gain(target: Loudness, lufs: float) -> float:
    """Return the gain that a song needs; 1 for silence, which has no loudness."""
    return 10 ** ((target.lufs - lufs) / 20) if math.isfinite(lufs) else 1.0


class Normaliser:
    """Normalises a song as a separator expects, and undoes it in the stems.

    Args:
        separator: may have an attribute ``normalises``, ``"mono"``, ``"stereo"``,
            ``"population"`` or a loudness.
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
        if isinstance(kind, Loudness):
            if not statistics.lufs:
                raise ValueError("a member needs the song's loudness, which was not measured")
            gains = [_gain(kind, lufs) for lufs in statistics.lufs]
            self._deviation[:, 0, 0] = 1 / torch.tensor(gains)
            return
        deviation = {
            "mono": statistics.mono,
            "stereo": statistics.stereo,
            "population": statistics.population,
        }[kind]
        self._mean[:, 0, 0] = torch.tensor(statistics.mean)
        self._deviation[:, 0, 0] = torch.tensor(deviation) + EPSILON

    def into(self, block: Tensor) -> Tensor:
        """Normalise a block of the song, ``(groups, 2, samples)``."""
        return (block - self._mean).div_(self._deviation) if self._needed else block

    def back(self, stems: Tensor, valid: Tensor | None = None) -> Tensor:
        """Undo the normalisation in stems, ``(groups, stems, 2, samples)``.

        Args:
            stems: of the separator.
            valid: see :class:`demixing.chunks.answer.Answer`; where it is 0, the stems stay silent.
        """
        if not self._needed:
            return stems
        stems = (stems * self._deviation[..., None]).add_(self._mean[..., None])
        return stems if valid is None else stems - (1 - valid) * self._mean[..., None]
