"""The SDR agrees with its definition, with the leaderboard's own arithmetic, and with its laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from demixing.errors import EvaluationError
from demixing.evaluation import metrics
from demixing.evaluation.metrics.sdr import Meter, sdr

Audio = NDArray[np.float64]

ROUNDING_DB = 20 * math.log10(1 + 2**-24) + 1e-9
"""What rounding each difference to float32 can change, and what sums in float64 can."""


def sdr_by_hand(reference: Audio, estimate: Audio) -> list[float]:
    """The definition, written as plainly as possible, without our code."""
    scores_db = []
    for true_stem, stem in zip(reference.tolist(), estimate.tolist(), strict=True):
        signal = distortion = 1e-7
        for true_frame, frame in zip(true_stem, stem, strict=True):
            for true_value, value in zip(true_frame, frame, strict=True):
                signal += true_value * true_value
                distortion += (true_value - value) * (true_value - value)
        scores_db.append(10 * math.log10(signal / distortion))
    return scores_db


def sdr_in_float32(reference: Audio, estimate: Audio) -> Audio:
    """The leaderboard's arithmetic: everything in float32 except the division.

    The leaderboard divides and takes the logarithm in float32 too, which leaves steps of 2e-6 dB
    between the numbers that it can print near 20 dB.
    """
    true_stems, stems = reference.astype(np.float32), estimate.astype(np.float32)
    delta = np.float32(1e-7)
    signal = np.sum(np.square(true_stems), axis=(1, 2)) + delta
    distortion = np.sum(np.square(true_stems - stems), axis=(1, 2)) + delta
    return np.asarray(10 * np.log10(signal.astype(np.float64) / distortion))


def random_stems(
    rng: np.random.Generator, shape: tuple[int, int, int], level_db: float, error_db: float
) -> tuple[Audio, Audio]:
    """A reference and an estimate that float32 files store exactly."""
    level, error = 10 ** (level_db / 20), 10 ** ((level_db + error_db) / 20)
    reference = level * rng.standard_normal(shape)
    estimate = reference + error * rng.standard_normal(shape)
    return reference.astype(np.float32).astype(float), estimate.astype(np.float32).astype(float)


def noise(seed: int, *shape: int) -> Audio:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("seed", range(200))
def test_agrees_with_the_definition_and_with_the_leaderboard(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 5)), int(10 ** rng.uniform(0, 2.7)), int(rng.integers(1, 3)))
    reference, estimate = random_stems(rng, shape, rng.uniform(-60, 0), rng.uniform(-80, 20))

    scores_db = sdr(reference, estimate)

    by_hand_db = sdr_by_hand(reference, estimate)
    np.testing.assert_allclose(scores_db, by_hand_db, rtol=0, atol=ROUNDING_DB)
    # Both of the leaderboard's energies are off by a few roundings to float32, 3e-7 dB each.
    in_float32_db = sdr_in_float32(reference, estimate)
    np.testing.assert_allclose(scores_db, in_float32_db, rtol=0, atol=2e-6)


@pytest.mark.engine
def test_a_song_of_four_minutes_in_blocks_agrees_with_the_leaderboard() -> None:
    rng = np.random.default_rng(0)
    part = random_stems(rng, (1, 10 * 44_100, 2), level_db=-20, error_db=-12)
    reference, estimate = (np.tile(stems, (1, 24, 1)) for stems in part)  # drawn faster than all
    meter = Meter()

    for start in range(0, 240 * 44_100, 2**18):
        block = slice(start, start + 2**18)
        meter.update(reference[0, block], estimate[0, block])

    in_float32_db = sdr_in_float32(reference, estimate)
    assert meter.value_db == pytest.approx(in_float32_db[0], rel=0, abs=1e-6)


def test_samples_are_rounded_to_float32_as_the_leaderboard_does() -> None:
    reference = np.ones((1, 1000, 2))
    off_by_less_than_float32_can_hold = reference + 1e-9

    score_db = sdr(reference, off_by_less_than_float32_can_hold)

    np.testing.assert_array_equal(score_db, sdr(reference, reference))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(samples=st.integers(1, 700), block=st.integers(1, 800), channels=st.integers(1, 2))
def test_the_size_of_the_blocks_makes_no_difference(
    samples: int, block: int, channels: int
) -> None:
    reference = noise(samples, samples, channels)
    estimate = reference + 0.1 * noise(block, samples, channels)
    meter = Meter()

    for start in range(0, samples, block):
        meter.update(reference[start : start + block], estimate[start : start + block])

    whole_db = sdr(reference[None], estimate[None])
    assert meter.value_db == pytest.approx(whole_db[0], rel=0, abs=1e-9)


def test_silence_estimated_as_silence_scores_zero() -> None:
    silence = np.zeros((1, 100, 2))

    assert sdr(silence, silence) == pytest.approx(0.0, abs=1e-12)


def test_no_input_scores_zero() -> None:
    assert Meter().value_db == 0.0


def test_a_silent_estimate_of_sound_scores_zero() -> None:
    reference = noise(1, 3, 100, 2)

    scores_db = sdr(reference, np.zeros_like(reference))

    np.testing.assert_allclose(scores_db, 0.0, atol=1e-12)


def test_an_audible_estimate_of_silence_scores_as_in_the_formula() -> None:
    silence = np.zeros((1, 10_000, 1))

    score_db = sdr(silence, np.full_like(silence, 0.01))

    # An energy of one against 1e-7.
    assert score_db == pytest.approx(-70.0, abs=1e-4)


def test_a_perfect_estimate_gains_ten_db_per_tenfold_energy() -> None:
    stem = noise(2, 1, 1000, 2)

    gained_db = sdr(math.sqrt(10) * stem, math.sqrt(10) * stem) - sdr(stem, stem)

    assert gained_db == pytest.approx(10.0, abs=1e-5)
    assert sdr(stem, stem) > 100


def test_halving_the_error_adds_six_db() -> None:
    reference, error = noise(3, 2, 2, 400, 2)

    gained_db = sdr(reference, reference + error / 2) - sdr(reference, reference + error)

    np.testing.assert_allclose(gained_db, 20 * math.log10(2), atol=1e-6)


def test_a_gain_of_three_is_an_error_twice_as_large_as_the_stem() -> None:
    reference = noise(4, 2, 400, 2)

    scores_db = sdr(reference, 3 * reference)

    np.testing.assert_allclose(scores_db, -20 * math.log10(2), atol=1e-6)


def test_channels_of_opposite_sign_are_not_silence() -> None:
    left = noise(5, 1, 400, 1)
    reference = np.concatenate([left, -left], axis=2)

    scores_db = sdr(reference, 0.9 * reference)

    np.testing.assert_allclose(scores_db, 20.0, atol=1e-5)


def test_more_noise_scores_less() -> None:
    reference, error = noise(6, 2, 1, 400, 2)

    scores_db = [sdr(reference, reference + gain * error)[0] for gain in (0.01, 0.1, 1, 10)]

    assert scores_db == sorted(scores_db, reverse=True)
    assert len(set(scores_db)) == 4


def test_stems_are_scored_separately() -> None:
    reference, estimate = noise(7, 2, 3, 50, 2)

    each_db = [sdr(reference[[stem]], estimate[[stem]])[0] for stem in range(3)]

    np.testing.assert_array_equal(sdr(reference, estimate), each_db)


def test_channels_are_pooled_before_the_division() -> None:
    reference, error = noise(8, 2, 1, 50, 2)
    error[..., 1] *= 100

    stereo_db = sdr(reference, reference + error)

    as_mono = (1, 100, 1)
    mono_db = sdr(reference.reshape(as_mono), (reference + error).reshape(as_mono))
    np.testing.assert_allclose(stereo_db, mono_db, atol=1e-9)


@pytest.mark.parametrize(
    ("true_value", "value", "expected_db"),
    [
        (0.5, math.inf, -math.inf),
        (0.5, -math.inf, -math.inf),
        (0.5, 1e300, -math.inf),  # infinite in float32
        (0.5, math.nan, math.nan),
        (math.nan, 0.5, math.nan),
        (math.inf, 0.5, math.nan),
        (math.inf, math.inf, math.nan),
    ],
)
def test_samples_that_are_not_finite_score_as_on_the_leaderboard(
    true_value: float, value: float, expected_db: float
) -> None:
    reference, estimate = np.ones((2, 1, 100, 2))
    reference[0, 7, 1], estimate[0, 7, 1] = true_value, value

    score_db = sdr(reference, estimate)

    with np.errstate(all="ignore"):
        in_float32_db = sdr_in_float32(reference, estimate)
    np.testing.assert_array_equal(in_float32_db, [expected_db])
    np.testing.assert_array_equal(score_db, [expected_db])


def test_inputs_are_not_modified() -> None:
    reference, estimate = noise(9, 2, 1, 50, 2)
    before = reference.copy(), estimate.copy()

    sdr(reference, estimate)

    np.testing.assert_array_equal((reference, estimate), before)


@pytest.mark.parametrize("shape", [(1, 99, 2), (1, 100, 1), (2, 100, 2)])
def test_shapes_that_differ_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"reference\.shape=\(1, 100, 2\) and .* must be equal"):
        sdr(np.ones((1, 100, 2)), np.ones(shape))


def test_a_meter_does_not_broadcast_mono_to_stereo() -> None:
    with pytest.raises(ValueError, match="must be equal"):
        Meter().update(np.ones((10, 2)), np.ones((10, 1)))


def test_16_bit_samples_are_scored_exactly() -> None:
    rng = np.random.default_rng(11)
    reference, estimate = rng.integers(-(2**15), 2**15, (2, 1, 50_000, 2)) / 2**15

    signal, distortion = np.square(reference).sum(), np.square(reference - estimate).sum()

    exact_db = 10 * math.log10((signal + 1e-7) / (distortion + 1e-7))
    assert sdr(reference, estimate)[0] == pytest.approx(exact_db, rel=0, abs=1e-11)


def test_rounding_in_one_direction_stays_below_the_bound() -> None:
    """The same difference everywhere, rounded by almost half a step each time."""
    reference = np.full((1, 40_000, 1), 1 + 2**-22)
    estimate = np.full_like(reference, -(2**-23 + 2**-24 + 2**-26))

    exact_db = 10 * math.log10(reference[0, 0, 0] ** 2 / (reference - estimate)[0, 0, 0] ** 2)
    error_db = abs(sdr(reference, estimate)[0] - exact_db)

    assert 1e-7 < error_db < ROUNDING_DB


def test_an_unknown_metric_is_refused_with_a_hint() -> None:
    with pytest.raises(EvaluationError, match=r"no metric named 'sddr'; did you mean 'sdr'\?"):
        metrics.load("sddr")


def test_a_metric_without_a_similar_name_is_refused_with_the_list() -> None:
    with pytest.raises(EvaluationError, match=r"no metric named 'x' \(available: .*sdr"):
        metrics.load("x")
