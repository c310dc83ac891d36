"""Deadlines hold regardless of the members. All clocks are fake, so nothing sleeps."""

import itertools
import math

import numpy as np
import pytest

from demixing.errors import ConfigError
from demixing.recipes import tracks
from demixing.schedule.budget import Deadline, TimeBudget, song_budget


class FakeClock:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_deadline_counts_down() -> None:
    clock = FakeClock()
    deadline = Deadline(10, clock=clock)

    clock.now_s = 12.5

    assert deadline.remaining_s == -2.5


def test_a_member_of_unknown_cost_may_work() -> None:
    budget = TimeBudget(Deadline(1, clock=FakeClock()), [10])

    assert budget.allows(0, 10)


def test_a_member_is_stopped_when_its_next_chunk_would_end_late() -> None:
    clock = FakeClock()
    budget = TimeBudget(Deadline(10, clock=clock), [10])
    budget.done(0, 1, spent_s=4)

    assert budget.allows(0, 1)
    clock.now_s = 10 - 4 * TimeBudget.MARGIN + 0.01
    assert not budget.allows(0, 1)


def test_later_members_leave_enough_time_for_the_first() -> None:
    clock = FakeClock()
    budget = TimeBudget(Deadline(100, clock=clock), [11, 11])
    budget.done(0, 1, spent_s=7.5)
    budget.done(1, 1, spent_s=6)

    # Ten chunks of the first are expected to cost 94 s, one of the second 7.5 s.
    assert budget.allows(0, 1)
    assert not budget.allows(1, 1)
    budget.done(0, 5)
    assert budget.allows(1, 1)


def test_failed_chunks_do_not_change_the_cost() -> None:
    budget = TimeBudget(Deadline(10, clock=FakeClock()), [3])
    budget.done(0, 1, spent_s=9)
    budget.done(0, 1)

    assert not budget.allows(0, 1)


@pytest.mark.parametrize("seed", range(20))
def test_members_of_constant_cost_are_never_late_and_use_their_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    costs_s = rng.uniform(0.2, 3, size=3)
    clock = FakeClock()
    budget_s = rng.uniform(0.3, 0.9) * 100 * costs_s.sum()
    budget = TimeBudget(Deadline(budget_s, clock=clock), [100] * 3)

    for _, member in itertools.product(range(100), range(3)):
        if budget.allows(member, 1):
            spent_s = min(costs_s[member], budget.timeout_s(member, 1))
            clock.now_s += spent_s
            budget.done(member, 1, spent_s)
        else:
            budget.done(member, 1)

    assert clock.now_s <= budget_s
    assert clock.now_s >= 0.7 * budget_s


def test_the_budget_is_a_part_of_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    track = tracks.by_name("mdx")

    assert song_budget(track, 100) == pytest.approx(0.85 * 157)
    assert song_budget(track, 3) == pytest.approx(0.85 * 4.71), "short songs have no other factor"
    monkeypatch.setenv("DEMIX_TIME_LIMIT", "0.5")
    assert song_budget(track, 100) == pytest.approx(0.85 * 50)


@pytest.mark.parametrize("limit", ["fast", "0", "-1", "nan", "inf"])
def test_an_impossible_limit_is_refused(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setenv("DEMIX_TIME_LIMIT", limit)

    with pytest.raises(ConfigError, match="DEMIX_TIME_LIMIT to be a positive number"):
        song_budget(tracks.by_name("mdx"), 100)


def test_a_member_of_unknown_cost_cannot_take_all_the_time() -> None:
    budget = TimeBudget(Deadline(100, clock=FakeClock()), [11, 11])
    budget.done(0, 1, spent_s=4)

    assert budget.timeout_s(0, 1) == pytest.approx(10 * 4 * TimeBudget.MARGIN)
    assert budget.timeout_s(1, 1) == pytest.approx((100 - 10 * 4 * TimeBudget.MARGIN) / 2)


def test_an_unknown_cost_is_assumed_to_be_zero() -> None:
    budget = TimeBudget(Deadline(1, clock=FakeClock()), [5, 5])
    budget.done(1, 1, spent_s=0.5)

    assert budget.allows(1, 1)
    assert math.isnan(budget._cost_s[0])
