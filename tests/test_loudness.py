"""The integrated loudness is that of the package pyloudnorm 0.2.0, whose figures stand here."""

import math

import pytest
import torch
from torch import Tensor

from demixing.audio.loudness import LoudnessMeter, k_weighting
from tools.golden import seeded

pytestmark = pytest.mark.engine

RATES = {
    8_000: (-13.67004079250078, -15.142631443279381),
    11_025: (-11.904802893257324, -13.580770029469129),
    22_050: (-13.205302418322747, -14.575479581936781),
    44_100: (-13.606272951088002, -15.213825357470382),
    48_000: (-13.721300787156784, -15.430847669306893),
    96_000: (-13.232466913279241, -14.904407908385668),
    192_000: (-13.032293990356576, -14.761741982246392),
}
"""Loudness of :func:`clip` and of its left channel alone, by sample rate."""


def clip(rate_hz: int) -> Tensor:
    """3.3 s, of which a second is silent, and half a second too faint to count."""
    samples = rate_hz * 33 // 10
    song = seeded.song(samples, seed=1)
    song[:, rate_hz : 2 * rate_hz] = 0
    song[:, 2 * rate_hz : rate_hz * 5 // 2] *= 0.03
    song[1] *= 0.7
    return song


def measured(song: Tensor, rate_hz: int, block: int = 7001) -> tuple[float, ...]:
    meter = LoudnessMeter(rate_hz, song.shape[0])
    for part in song.split(block, dim=-1):  # type: ignore[no-untyped-call]
        meter.push(part)
    return meter.lufs()


@pytest.mark.parametrize("rate_hz", RATES)
def test_the_loudness_is_that_of_pyloudnorm(rate_hz: int) -> None:
    song = clip(rate_hz)

    assert measured(song, rate_hz) == pytest.approx((RATES[rate_hz][0],), abs=1e-6)
    assert measured(song[:1], rate_hz) == pytest.approx((RATES[rate_hz][1],), abs=1e-6)


@pytest.mark.parametrize(
    ("samples", "lufs"),
    [
        (17_640, -11.805255840547867),  # one window
        (19_844, -11.805255840547867),  # and less than half of the next step
        (19_846, -12.57452083789792),  # more than half of it
        (50_000, -12.987707888210693),
    ],
)
def test_windows_at_the_end_count_as_in_pyloudnorm(samples: int, lufs: float) -> None:
    assert measured(clip(44_100)[:, :samples], 44_100) == pytest.approx((lufs,), abs=1e-6)


@pytest.mark.parametrize("block", [13, 4410, 4411, 999_999])
def test_the_blocks_do_not_matter(block: int) -> None:
    song = clip(44_100)[:, :50_000]

    assert measured(song, 44_100, block) == pytest.approx(measured(song, 44_100), abs=1e-9)


@pytest.mark.parametrize("samples", [0, 1, 17_639])
def test_less_than_a_window_has_no_loudness(samples: int) -> None:
    assert measured(clip(44_100)[:, :samples], 44_100) == (-math.inf,)


@pytest.mark.parametrize("level", [0.0, 1e-5])
def test_silence_has_no_loudness(level: float) -> None:
    assert measured(level * clip(44_100), 44_100) == (-math.inf,)


def test_a_gain_adds_to_the_loudness() -> None:
    song = clip(44_100)

    (louder,) = measured(0.1 * song, 44_100)

    assert louder == pytest.approx(RATES[44_100][0] - 20, abs=1e-4)


def test_a_sine_has_the_loudness_of_the_standard() -> None:
    time_s = torch.arange(48_000) / 48_000
    sine = torch.sin(2 * torch.pi * 997 * time_s)

    (lufs,) = measured(sine[None], 48_000)

    assert lufs == pytest.approx(-3.01, abs=0.1)


def test_pairs_of_channels_are_measured_by_themselves() -> None:
    song = clip(44_100)
    centre, low = song[:1], 0.5 * song[1:]
    film = torch.cat([song, centre, low, 0.1 * song])

    pairs = measured(film, 44_100)

    expected = [*RATES[44_100], measured(low, 44_100)[0], RATES[44_100][0] - 20]
    assert pairs == pytest.approx(tuple(expected), abs=1e-4)


def test_memory_does_not_grow_with_the_samples() -> None:
    meter = LoudnessMeter(44_100, 2)
    for _ in range(10):
        meter.push(torch.zeros(2, 44_100))

    assert meter._steps.nbytes == 10 * 80


def test_the_weighting_leaves_middle_frequencies_and_removes_the_lowest() -> None:
    sections = k_weighting(48_000)

    at_0_hz = sections[:, :3].sum(axis=1) / sections[:, 3:].sum(axis=1)
    signs = torch.tensor([1.0, -1.0, 1.0]).numpy()
    at_the_top = (sections[:, :3] @ signs) / (sections[:, 3:] @ signs)

    assert at_0_hz == pytest.approx([1, 0], abs=1e-9)
    assert 20 * math.log10(at_the_top.prod()) == pytest.approx(4, abs=0.01)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e38])
def test_bad_samples_are_left_to_others(bad: float) -> None:
    song = clip(44_100)
    song[0, 9000] = bad

    measured(song, 44_100)
