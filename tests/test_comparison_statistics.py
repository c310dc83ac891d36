"""The statistics of a comparison, against plain loops, other libraries and simulations."""

import itertools
import statistics

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from demixing.evaluation.comparison import bootstrap, holm, power, sign_flip

Array = NDArray[np.float64]


# Intervals


def plain_interval(gains: Array, resamples: int) -> tuple[float, float]:
    """The bootstrap as it is taught: draw songs, average them, sort the means, count from the ends.

    The quantiles are Hesterberg's expanded ones, by SciPy.
    """
    rng = np.random.default_rng(99)
    means = sorted(
        statistics.fmean(rng.choice(gains, size=len(gains), replace=True)) for _ in range(resamples)
    )
    songs = len(gains)
    share = stats.norm.cdf(-np.sqrt(songs / (songs - 1)) * stats.t.ppf(0.975, songs - 1))
    return means[int(share * resamples)], means[int((1 - share) * resamples)]


@pytest.mark.parametrize("songs", [5, 12, 40])
def test_an_interval_is_that_of_a_bootstrap_written_plainly(
    songs: int, rng: np.random.Generator
) -> None:
    gains = rng.normal(0.4, 1, songs)

    found = bootstrap.interval(gains)

    assert found is not None
    expected = plain_interval(gains, 20_000)
    assert found == pytest.approx(expected, abs=0.05 * (expected[1] - expected[0]))
    assert found == bootstrap.interval(gains)


def test_an_interval_of_many_songs_is_that_of_the_normal_distribution(
    rng: np.random.Generator,
) -> None:
    gains = rng.normal(0.5, 2, 400)
    half = 1.96 * gains.std() / 20

    found = bootstrap.interval(gains)

    assert found == pytest.approx((gains.mean() - half, gains.mean() + half), abs=0.1 * half)


def test_an_interval_covers_as_often_as_it_says(rng: np.random.Generator) -> None:
    """1,000 comparisons of ten songs, with the binomial bounds that hold in 99.9 % of cases.

    They are 926 and 971. Plain percentiles cover 90 %, which this test would find.
    """
    inside = 0
    for gains in rng.normal(0, 1, (1000, 10)):
        ends = bootstrap.interval(gains)
        assert ends is not None
        inside += ends[0] <= 0 <= ends[1]

    low, high = stats.binom.interval(0.999, 1000, 0.95)
    assert (low, high) == (926, 971)
    assert low <= inside <= high


def test_one_song_has_no_interval_and_equal_gains_have_an_exact_one() -> None:
    assert bootstrap.interval(np.array([1.0])) is None
    assert bootstrap.interval(np.full(7, 0.1)) == (0.1, 0.1)
    assert bootstrap.interval(np.zeros(4)) == (0.0, 0.0)


# Tests


def plain_p_value(gains: Array) -> float:
    """The share of all choices of signs with a mean as far from 0, one after the other."""
    observed = abs(statistics.fmean(gains))
    choices = list(itertools.product((-1, 1), repeat=len(gains)))
    extreme = 0
    for signs in choices:
        mean = statistics.fmean(sign * gain for sign, gain in zip(signs, gains, strict=True))
        extreme += abs(mean) >= observed - 1e-12
    return extreme / len(choices)


@pytest.mark.parametrize("songs", [1, 2, 5, 9])
def test_a_p_value_is_that_of_a_sign_flip_test_written_plainly(
    songs: int, rng: np.random.Generator
) -> None:
    gains = rng.normal(0.5, 1, songs)

    assert sign_flip.p_value(gains) == pytest.approx(plain_p_value(gains))


def test_equal_sums_count_although_they_are_rounded() -> None:
    """0.1 + 0.2 is not 0.3 in float64: many of these sums differ in the last bit only."""
    gains = np.array([0.1, 0.2, 0.3, 0.1, 0.2, 0.3, -0.6])

    assert sign_flip.p_value(gains) == pytest.approx(plain_p_value(gains))


def test_songs_without_a_difference_change_nothing() -> None:
    gains = np.array([1.0, 2.0, -0.5])

    assert sign_flip.p_value(np.append(gains, np.zeros(40))) == sign_flip.p_value(gains)
    assert sign_flip.p_value(np.zeros(3)) == 1
    assert sign_flip.p_value(np.zeros(0)) == 1


def test_random_signs_agree_with_all_signs(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    gains = rng.normal(0.5, 1, 14)
    exact = sign_flip.p_value(gains)

    monkeypatch.setattr(sign_flip, "EXACT", 3)
    drawn = sign_flip.p_value(gains)

    assert drawn == pytest.approx(exact, abs=4 * np.sqrt(exact / sign_flip.FLIPS))
    assert drawn == sign_flip.p_value(gains)


def test_a_p_value_by_random_signs_is_never_zero() -> None:
    assert sign_flip.p_value(np.ones(60), flips=999) == 1 / 1000


@pytest.mark.parametrize(("songs", "expected"), [(10, 50 / 1024), (24, 0.049)])
def test_of_a_thousand_null_pairs_five_percent_are_below_the_level(
    songs: int, expected: float, rng: np.random.Generator
) -> None:
    """Two systems that are equally good: their scores of a song differ by chance, with heavy tails.

    ``expected`` is the exact probability of p < 0.05: with ten songs 25 pairs of the 1,024 signs
    are below it, and with 24 songs 49 of the 1,000 ranks among 999 draws.
    """
    songs_db = rng.normal(6, 4, (1000, songs))
    first = songs_db + rng.standard_t(3, (1000, songs))
    second = songs_db + rng.standard_t(3, (1000, songs))

    found = sum(sign_flip.p_value(gains, flips=999) < 0.05 for gains in second - first)

    low, high = stats.binom.interval(0.999, 1000, expected)
    assert (low, high) == pytest.approx((28, 73), abs=1)
    assert low <= found <= high


def test_holm_against_a_worked_example() -> None:
    """0.005 x 4 = 0.02; 0.01 x 3 = 0.03; 0.03 x 2 = 0.06; 0.04 x 1 = 0.04, raised to 0.06."""
    assert holm.adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm.adjusted([0.5, 0.9]) == [1.0, 1.0]
    assert holm.adjusted([]) == []


# Power


@pytest.mark.parametrize("songs", [10, 20, 50])
def test_the_smallest_difference_has_a_power_of_80_percent(songs: int) -> None:
    """Against the power of the t-test by the noncentral t distribution."""
    gains = np.resize([-1.0, 1.0], songs)
    smallest = power.smallest_difference(gains)
    assert smallest is not None

    noncentral = smallest / gains.std(ddof=1) * np.sqrt(songs)
    border = stats.t.ppf(0.975, songs - 1)
    assert noncentral == pytest.approx(border + stats.t.ppf(0.80, songs - 1))
    assert stats.nct.sf(border, songs - 1, noncentral) == pytest.approx(0.80, abs=0.02)


def test_five_songs_can_show_nothing_and_equal_systems_have_no_spread() -> None:
    assert power.smallest_difference(np.arange(5.0)) is None
    assert power.smallest_difference(np.zeros(6)) == 0
    assert sign_flip.p_value(np.arange(1.0, power.LEAST)) > power.SIGNIFICANCE
    assert sign_flip.p_value(np.arange(1.0, power.LEAST + 1)) < power.SIGNIFICANCE
