"""A run reports the share of its time in which it waited for examples."""

import pytest

from demixing.training.waiting import Shares, Waiting
from tests.fake_time import FakeTime


def step(clock: FakeTime, waiting: Waiting, wait_s: float, compute_s: float) -> float:
    asked_s = clock()
    clock.now_s += wait_s
    got_s = clock()
    clock.now_s += compute_s
    return waiting.step(asked_s, got_s)


def test_shares_are_those_since_the_last_call_without_the_first_step() -> None:
    clock = FakeTime()
    waiting = Waiting(clock)
    step(clock, waiting, 100, 1)  # workers start
    for _ in range(3):
        assert step(clock, waiting, 1, 2) == 1
    clock.now_s += 1  # a checkpoint

    first = waiting.shares()
    step(clock, waiting, 0, 5)
    second = waiting.shares()

    assert first == Shares(waiting=0.3, computing=0.6)
    assert second == Shares(waiting=0, computing=1)


def test_after_the_first_step_alone_there_is_nothing_to_report() -> None:
    clock = FakeTime()
    waiting = Waiting(clock)
    step(clock, waiting, 100, 1)

    assert waiting.shares() is None


def test_the_busy_part_counts_from_the_start_or_the_last_validation() -> None:
    clock = FakeTime()
    waiting = Waiting(clock)
    step(clock, waiting, 1, 3)
    assert waiting.busy() == 0.75

    waiting.restart()
    step(clock, waiting, 0, 3)

    assert waiting.busy() == 1


@pytest.mark.parametrize(("share", "advised"), [(0.1, False), (0.11, True)])
def test_advice_is_given_when_a_tenth_of_the_time_is_lost(share: float, advised: bool) -> None:
    text = Shares(share, 0.8).described(workers=2)

    assert ("raise workers above 2" in text) == advised
    assert text.startswith(f"{100 * share:.0f} % waiting for examples, 80 % computing")
