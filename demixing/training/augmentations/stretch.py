"""Changes pitch and tempo of all stems independently, with a phase vocoder.

The frames of the spectrogram are interpolated at a new rate, and the phase of each bin advances as
it did in the original. Then a change of sample rate turns tempo into pitch. Both channels are
rotated by the same phase, which keeps the stereo image, and the bins around a peak are rotated like
the peak, so that they still sum to one tone. Transients are smeared, so its probability should be
low: for most examples, :mod:`demixing.training.augmentations.speed` is cheaper.

Sources: Flanagan and Golden, "Phase vocoder", Bell System Technical Journal 45, 1966; Laroche and
Dolson, "Improved phase vocoder time-scale modification of audio", IEEE Transactions on Speech and
Audio Processing 7, 1999. Unlike theirs, the phases of peaks are not reset, which avoids a loop.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from demixing.networks.stft import istft, stft
from demixing.training.augmentation_helpers import AllAlike, check_probability, check_range, each
from demixing.training.augmentations.speed import faster

FRAME, HOP = 2048, 512
PEAK = 5
"""A peak is the loudest of this many bins."""


@dataclass(frozen=True, slots=True)
class Change:
    """Drawn parameters of an example.

    Attributes:
        tempo: above 1 is faster.
        pitch: factor of all frequencies.
    """

    tempo: float
    pitch: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch(AllAlike):
    """Change pitch and tempo. Acts on all stems alike, so that they still match in both.

    Attributes:
        low_semitones: lowest change of pitch.
        high_semitones: highest.
        low_tempo: slowest tempo, relative to the original.
        high_tempo: fastest tempo.
        probability: probability of acting on an example.
    """

    low_semitones: float = -2.0
    high_semitones: float = 2.0
    low_tempo: float = 0.88
    high_tempo: float = 1.12
    probability: float = 0.05

    def __post_init__(self) -> None:
        check_range(self.low_semitones, self.high_semitones, "_semitones", -12, 12)
        check_range(self.low_tempo, self.high_tempo, "_tempo", 0.5, 2)
        check_probability(self.probability)

    def needs(self, samples: int) -> int:
        """See :class:`demixing.training.augmentations.Longer`."""
        return math.ceil(samples * max(self.high_tempo, 1)) + FRAME

    def draw(
        self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int
    ) -> Change | None:
        """Draw tempo and pitch."""
        if rng.random() >= self.probability:
            return None
        semitones = rng.uniform(self.low_semitones, self.high_semitones)
        return Change(rng.uniform(self.low_tempo, self.high_tempo), float(2 ** (semitones / 12)))

    def apply(self, stems: Tensor, drawn: Change | None) -> Tensor:
        """See :class:`~demixing.training.augmentations.Augmentation`; silence fills the rest."""
        return each(stems, [drawn] * len(stems), _changed)


def _changed(stem: Tensor, change: Change) -> Tensor:
    """Change one stem, ``(2, samples)``."""
    samples = stem.shape[-1]
    long = stretched(stem, change.pitch / change.tempo)
    long = F.pad(long, (0, max(samples - long.shape[-1], 0)))
    return faster(long, change.pitch)[:, :samples]


def stretched(stem: Tensor, factor: float) -> Tensor:
    """Make a stem longer or shorter without changing its pitch.

    Args:
        stem: ``(2, samples)``.
        factor: factor of its length.

    Returns:
        ``(2, round(samples * factor))``.
    """
    samples = stem.shape[-1]
    spectrum = stft(stem[None], FRAME, HOP)[0]  # (2, bins, frames)
    frames = spectrum.shape[-1]
    places = torch.arange(math.ceil(frames * factor)) / factor
    before = places.long().clamp(max=frames - 1)
    after = (before + 1).clamp(max=frames - 1)
    # Phases follow the louder channel: a sum would vanish where the channels are opposed.
    leader = spectrum[int(spectrum.abs().square().sum(dim=(1, 2)).argmax())]
    angle = leader.angle()
    pace = angle[:, after] - angle[:, before]
    # From frame to frame in the new time, phases advance as in the original: a running sum in
    # double precision, since float32 would lose the phase after a few hundred turns.
    phase = torch.cumsum(pace.double(), dim=1).roll(1, dims=1)
    phase[:, 0] = 0
    turn = (phase + angle[:, :1] - angle[:, before]).float()
    turn = turn.gather(0, nearest_peak(leader.abs())[:, before])
    part = (places - before).clamp(0, 1)
    magnitude = torch.lerp(spectrum[..., before].abs(), spectrum[..., after].abs(), part)
    turned = torch.polar(magnitude, spectrum[..., before].angle() + turn)
    return istft(turned[None], FRAME, HOP, round(samples * factor))[0]


def nearest_peak(magnitudes: Tensor) -> Tensor:
    """For each bin of each frame, the closest bin that is louder than its neighbours.

    Args:
        magnitudes: ``(bins, frames)``.

    Returns:
        Indices of bins, same shape.

    >>> nearest_peak(torch.tensor([0.0, 2, 1, 0, 0, 1, 3, 0])[:, None])[:, 0].tolist()
    [1, 1, 1, 1, 6, 6, 6, 6]
    """
    bins = len(magnitudes)
    around = F.max_pool1d(magnitudes.T, PEAK, stride=1, padding=PEAK // 2).T
    number = torch.arange(bins)[:, None].expand_as(magnitudes)
    peak = (magnitudes >= around) & (magnitudes > 0)
    below = torch.where(peak, number, -bins).cummax(dim=0).values
    above = torch.where(peak, number, 3 * bins).flip(0).cummin(dim=0).values.flip(0)
    nearest = torch.where(number - below <= above - number, below, above)
    return torch.where((nearest >= 0) & (nearest < bins), nearest, number)


build = Stretch
