"""Songs shorter than a chunk are planned with the cost of a shorter one, and with the load."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from demixing import separators
from demixing.audio import SongFormat
from demixing.engine.demixer import Demixer
from demixing.schedule.budget import Deadline, TimeBudget
from demixing.schedule.contention import Contention
from demixing.schedule.costs import Cost
from demixing.separator import Chunking
from tests.fake_time import FakeTime
from tests.plain import shipped

pytestmark = pytest.mark.engine

RATE_HZ = 8_000
COSTS_S = [2.0, 1.0, 3.0, 2.5, 0.5, 1.5]
"""Of full chunks of the members of cdx_default."""


@dataclass
class Fake:
    """Has chunks of 12, 6 and 3 s, and copies."""

    stems: tuple[str, ...]
    clock: FakeTime
    cost_s: float
    sample_rate_hz: int = RATE_HZ
    chunking: Chunking = Chunking(
        chunk=12 * RATE_HZ, hop=10 * RATE_HZ, context=RATE_HZ, shorter=(6 * RATE_HZ, 3 * RATE_HZ)
    )

    def separate(self, chunks: Tensor) -> Tensor:
        part = chunks.shape[-1] / self.chunking.chunk
        self.clock.cost_s += len(chunks) * part * self.cost_s
        return chunks[:, None].expand(-1, len(self.stems), -1, -1)


class Load(Contention):
    """A load that the test sets."""

    def __init__(self, times: float) -> None:
        self.times = times

    def restart(self) -> None:
        pass

    def slowdown(self) -> float:
        return self.times


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


def demixer(clock: FakeTime, *, real: float = 1.0, contention: Contention | None = None) -> Demixer:
    """The CDX recipe with fakes that cost ``real`` times the known costs."""
    chosen = shipped("cdx_default")
    queue = [
        Fake(tuple(part for some in member.outputs.values() for part in some), clock, real * cost_s)
        for member, cost_s in zip(chosen.members, COSTS_S, strict=True)
    ]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(separators, "build", lambda *_: queue.pop(0))
        # No weights, so members do not share a fake.
        monkeypatch.setattr(separators, "required_weights", lambda *_: ())
        ready = Demixer(chosen, contention=contention)
    ready.costs = [Cost(chunk_s=cost_s) for cost_s in COSTS_S]
    ready._run = clock.run
    return ready


def form(seconds: float) -> SongFormat:
    return SongFormat(sample_rate_hz=RATE_HZ, channels=2, frames=round(seconds * RATE_HZ))


def separate(ready: Demixer, seconds: float, budget_s: float, clock: FakeTime) -> None:
    song = torch.ones(2, form(seconds).frames)
    deadline = Deadline(budget_s, clock=clock)
    for _ in ready.stream([song], RATE_HZ, samples=song.shape[-1], deadline=deadline):
        pass
    assert not ready.omissions


def known_s(ready: Demixer) -> list[float]:
    return [cost.chunk_s for cost in ready.costs]


@pytest.mark.parametrize(("seconds", "part"), [(11, 1), (6, 1 / 2), (5, 1 / 2), (3, 1 / 4)])
def test_a_short_song_is_expected_to_cost_a_shorter_chunk(
    clock: FakeTime, seconds: float, part: float
) -> None:
    ready = demixer(clock)

    plan = ready.plan(form(seconds), budget_s=100)

    assert plan.planned == set(range(6))
    assert plan.expected_s == pytest.approx(part * sum(COSTS_S))


def test_a_long_song_costs_its_full_chunks(clock: FakeTime) -> None:
    # Chunks of 12 s start every 10 s; the last one is zero-filled.
    assert demixer(clock).plan(form(60), budget_s=1000).expected_s == pytest.approx(
        6 * sum(COSTS_S)
    )


def test_there_is_time_for_more_members_than_with_full_chunks(clock: FakeTime) -> None:
    ready = demixer(clock)
    budget_s = TimeBudget.MARGIN * sum(COSTS_S) / 4

    assert ready.plan(form(3), budget_s=budget_s).planned == set(range(6))
    assert len(ready.plan(form(11), budget_s=budget_s).planned) < 3


@pytest.mark.parametrize("slowdown", [1.0, 4.0])
@pytest.mark.parametrize(("seconds", "part"), [(11, 1), (3, 1 / 4)])
def test_the_budget_has_the_same_costs(
    clock: FakeTime, slowdown: float, seconds: float, part: float
) -> None:
    ready = demixer(clock, contention=Load(slowdown))
    ready._load.begin_song()
    plan = ready.plan(form(seconds), budget_s=100)

    budget = ready.workload(form(seconds)).budget(plan, Deadline(100, clock=clock))

    assert budget.costs_s == pytest.approx(
        [slowdown * part * COSTS_S[index] for index in plan.priority]
    )


@pytest.mark.parametrize("seconds", [3, 11, 25])
@pytest.mark.parametrize("slowdown", [1.0, 4.0])
def test_what_is_learnt_is_the_cost_of_a_full_chunk_on_an_idle_machine(
    clock: FakeTime, seconds: float, slowdown: float
) -> None:
    # The machine is as busy as the load indicates, so the costs do not change.
    ready = demixer(clock, real=slowdown, contention=Load(slowdown))

    for _ in range(2):
        separate(ready, seconds, 10_000, clock)

    assert known_s(ready) == pytest.approx(COSTS_S)


def test_a_song_corrects_wrong_costs(clock: FakeTime) -> None:
    ready = demixer(clock, real=2.0)

    separate(ready, 3, 100, clock)
    once = known_s(ready)
    for _ in range(12):
        separate(ready, 3, 100, clock)

    assert once == pytest.approx([(1 + TimeBudget.MEMORY) * cost_s for cost_s in COSTS_S])
    assert known_s(ready) == pytest.approx([2 * cost_s for cost_s in COSTS_S], rel=0.02)


@pytest.mark.parametrize(("before", "now"), [(4.0, 1.0), (1.0, 4.0)])
def test_a_load_that_changes_within_a_song_changes_no_cost(
    clock: FakeTime, before: float, now: float
) -> None:
    load = Load(before)
    ready = demixer(clock, contention=load)
    ready._load.begin_song()
    plan = ready.plan(form(3), budget_s=100)
    budget = ready.workload(form(3)).budget(plan, Deadline(100, clock=clock))
    asked, never = plan.priority[0], plan.priority[-1]

    load.times = now
    budget.done(0, 1, spent_s=now * COSTS_S[asked] / 4)
    ready._learn(plan, budget, form(3))

    assert known_s(ready)[asked] == pytest.approx(COSTS_S[asked])
    assert known_s(ready)[never] == COSTS_S[never], "a member that did not work"


def test_an_unknown_cost_is_known_after_the_member_has_worked(clock: FakeTime) -> None:
    ready = demixer(clock)
    ready.costs = [Cost() for _ in COSTS_S]

    separate(ready, 3, 10_000, clock)

    assert known_s(ready) == pytest.approx(COSTS_S)


@pytest.mark.parametrize("seconds", [3, 60])
@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
def test_on_a_busy_machine_the_plan_is_that_of_less_time(
    clock: FakeTime, seconds: float, share: float
) -> None:
    idle, busy = (demixer(clock, contention=Load(times)) for times in (1.0, 4.0))
    busy._load.begin_song()
    budget_s = share * TimeBudget.MARGIN * idle.plan(form(seconds), budget_s=10_000).expected_s

    plan = busy.plan(form(seconds), budget_s=4 * budget_s)

    assert plan == idle.plan(form(seconds), budget_s=budget_s)
    assert 0 < len(plan.planned) < 6
    assert busy.plan(form(seconds), budget_s=budget_s).expected_s < plan.expected_s
