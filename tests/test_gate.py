"""A stem is silenced exactly where the expected gain in the metric is positive."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demixing.ensemble.gate import DELTA, Gate
from demixing.errors import ConfigError

GATE = Gate(midpoint_db=-40.0, width_db=3.0, active_db=2.0)


@given(level_db=st.floats(-120, 20), energy=st.floats(1e-3, 1e6))
def test_the_decision_follows_the_expected_gain(level_db: float, energy: float) -> None:
    stem = energy * 10 ** (level_db / 10)
    chance = 1 / (1 + math.exp((level_db - GATE.midpoint_db) / GATE.width_db))
    # A silent stem scores 0 dB if it is silenced, otherwise 10 log10(delta / (energy + delta)).
    lost_db = 10 * math.log10(DELTA / (stem + DELTA))
    expected_db = chance * (0 - lost_db) + (1 - chance) * (0 - GATE.active_db)

    assert GATE.silences(stem, energy) == (expected_db > 0) or abs(expected_db) < 1e-6


def test_a_silent_stem_needs_no_gate() -> None:
    assert not GATE.silences(0.0, 1.0)
    assert not GATE.silences(1.0, 0.0)


def test_a_stem_that_would_score_below_silence_is_silenced_at_any_level() -> None:
    assert Gate(midpoint_db=-40.0, width_db=3.0, active_db=-1.0).silences(1.0, 1.0)


def test_a_curve_that_does_not_fall_is_refused() -> None:
    with pytest.raises(ConfigError, match="width_db above 0"):
        Gate(midpoint_db=-40.0, width_db=0.0, active_db=2.0)
