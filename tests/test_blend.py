"""The running average ends at the blend of exactly the members that returned stems."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demixing.ensemble.blend import Blend, RunningAverage, blended, subsets
from demixing.errors import ConfigError

FULL = Blend(stem="vocals", weights={"a": 0.6, "b": 0.2, "c": 0.1}, mixture=0.05)
PAIR = Blend(stem="vocals", weights={"a": 0.5, "b": 0.4}, mixture=0.02)
ONE = Blend(stem="vocals", weights={"b": 0.8}, mixture=0.1)
BLENDS = [FULL, PAIR, ONE, Blend(stem="bass", weights={"a": 9.0})]


def running(
    average: RunningAverage, answers: dict[str, float], order: str, mixture: float
) -> float:
    """Apply the updates to numbers instead of signals."""
    estimate, answered = 123.0, frozenset[str]()
    for name in order:
        if name in answers:
            update = average.update(answered, name)
            estimate = update.keep * estimate + update.add * answers[name] + update.mix * mixture
            answered |= {name}
    return estimate


def value(blend: Blend, answers: dict[str, float], mixture: float) -> float:
    parts = (weight * answers[name] for name, weight in blend.weights.items())
    return sum(parts) + blend.mixture * mixture


def test_a_listed_blend_is_used() -> None:
    assert blended(BLENDS, "vocals", frozenset("ab")) is PAIR


def test_a_part_of_a_listed_blend_keeps_its_sum() -> None:
    part = blended(BLENDS, "vocals", frozenset("ac"))

    assert part.total == pytest.approx(FULL.total)
    assert part.weights["a"] / part.weights["c"] == pytest.approx(6)
    assert part.mixture == FULL.mixture


def test_without_a_listed_blend_the_mean_is_used() -> None:
    assert blended(BLENDS, "drums", frozenset("ab")).weights == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize("planned", ["abc", "ab", "b", ""])
@given(answers=st.fixed_dictionaries({name: st.floats(-9, 9) for name in "abc"}))
def test_if_all_planned_members_work_the_result_is_their_blend(
    planned: str, answers: dict[str, float]
) -> None:
    average = RunningAverage("vocals", BLENDS, ("a", "b", "c"), frozenset(planned))
    some = {name: answers[name] for name in planned}

    estimate = running(average, some, "abc", 2.0)

    expected = value(blended(BLENDS, "vocals", frozenset(planned)), some, 2.0) if planned else 123
    assert estimate == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("who", subsets("abc"), ids="".join)
@pytest.mark.parametrize("planned", ["abc", "ab", "b", ""])
def test_equal_outputs_have_the_total_weight_of_their_blend(planned: str, who: tuple[str]) -> None:
    # Equal outputs show the sum of the weights, not how it is divided.
    average = RunningAverage("vocals", BLENDS, ("a", "b", "c"), frozenset(planned))
    order = planned + "".join(set("abc") - set(planned))

    estimate = running(average, dict.fromkeys(who, 1.0), order, 3.0)

    blend = blended(BLENDS, "vocals", frozenset(who))
    assert estimate == pytest.approx(blend.total + 3 * blend.mixture)


def test_a_member_that_works_alone_has_its_own_blend() -> None:
    average = RunningAverage("vocals", BLENDS, ("a", "b", "c"), frozenset("abc"))

    assert running(average, {"b": 1.0}, "abc", 1.0) == pytest.approx(0.9)


def test_opposite_weights_do_not_divide_by_zero() -> None:
    odd = [Blend(stem="s", weights={"a": 1.0, "b": -1.0}), Blend(stem="s", weights={"a": 0.7})]
    average = RunningAverage("s", odd, ("a", "b"), frozenset("ab"))

    assert running(average, {"a": 2.0, "b": 1.0}, "ab", 0.0) == pytest.approx(1.0)


def test_a_blend_without_members_is_refused() -> None:
    with pytest.raises(ConfigError, match="a weight for at least one member"):
        Blend(stem="vocals", weights={})
