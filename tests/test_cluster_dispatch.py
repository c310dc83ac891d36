"""Songs are handed to workers; lost workers, songs that end them, stores that do not answer."""

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from demixing.cluster.addresses import RefusedError, StoreError
from demixing.cluster.catalogue import Item
from demixing.cluster.dispatch import MOST_LOST, Dispatcher, Event, Finished, Lost, Ready
from demixing.cluster.waits import FIRST_S, MOST_PAUSES, MOST_S, Clock, before, repeated
from demixing.cluster.work import DONE, FAILED, THERE, Outcome
from demixing.errors import ConfigError, OutputError

DONE_NOW = Outcome(status=DONE)
AWAY = Outcome(status=FAILED, error="away", again=True)
Plan = Callable[[int, str, int], Outcome | None]
"""What becomes of a song, by worker, name and number of the try; None: the worker is lost."""


class FakeTime:
    """Time that only passes while the dispatcher sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.clock = Clock(lambda: self.now_s, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Fake:
    """Workers that follow a plan; the youngest are served first, to mix the order."""

    def __init__(self, plan: Plan, count: int = 3) -> None:
        self.plan, self.count = plan, count
        self.own: dict[int, deque[Item]] = {}
        self.new: list[int] = []
        self.tries: Counter[str] = Counter()
        self.most_in_flight = 0
        self.started = 0
        self.served: Callable[[Any], Iterable[tuple[int, deque[Item]]]] = reversed

    def wanted(self) -> int:
        return self.count

    def start(self) -> int:
        self.new.append(self.started)
        self.started += 1
        return self.started - 1

    def submit(self, worker: int, item: Item) -> None:
        self.own[worker].append(item)
        self.most_in_flight = max(self.most_in_flight, len(self.own[worker]))

    def wait(self, seconds: float) -> Sequence[Event]:
        if self.new:
            worker = self.new.pop()
            self.own[worker] = deque()
            return [Ready(worker)]
        for worker, own in self.served(self.own.items()):
            if own:
                return [self.event(worker, own.popleft())]
        return []

    def event(self, worker: int, item: Item) -> Event:
        self.tries[item.name] += 1
        outcome = self.plan(worker, item.name, self.tries[item.name])
        if outcome is None:
            del self.own[worker]
            return Lost(worker, "killed")
        return Finished(worker, outcome)


def run(
    engine: Fake, songs: int = 40, tries: int = 3, time: FakeTime | None = None
) -> dict[str, Outcome]:
    """The outcome of each song; each must come exactly once."""
    items = [Item(name=str(number), address="x") for number in range(songs)]
    clock = (time or FakeTime()).clock
    found = list(Dispatcher(engine, tries=tries, clock=clock).run(items))
    assert sorted(item.name for item, _ in found) == sorted(item.name for item in items)
    return {item.name: outcome for item, outcome in found}


def test_every_song_is_done_once() -> None:
    engine = Fake(lambda *_: DONE_NOW)

    assert {one.status for one in run(engine).values()} == {DONE}
    assert max(engine.tries.values()) == 1
    assert engine.started == 3


def test_a_worker_gets_few_songs_at_a_time() -> None:
    engine = Fake(lambda *_: DONE_NOW)

    run(engine)

    assert engine.most_in_flight == 2


def test_no_more_workers_are_started_than_there_are_songs() -> None:
    engine = Fake(lambda *_: DONE_NOW, count=50)

    run(engine, songs=4)

    assert engine.started == 4


def test_songs_of_a_lost_worker_go_to_others() -> None:
    engine = Fake(lambda worker, name, number: None if worker == 1 else DONE_NOW)

    found = run(engine)

    assert {one.status for one in found.values()} == {DONE}
    assert engine.started == 4
    assert sorted(engine.tries.values())[-2:] == [1, 2]  # the song that waited was not tried


def test_a_song_that_a_lost_worker_had_finished_was_done_by_this_run() -> None:
    there = Outcome(status=THERE)
    engine = Fake(lambda worker, name, number: None if worker == 1 else there)

    found = run(engine)

    statuses = Counter(one.status for one in found.values())
    assert statuses == {THERE: 38, DONE: 2}  # that in progress and that which waited


def test_a_song_that_ends_its_workers_fails_and_the_others_are_done() -> None:
    engine = Fake(lambda worker, name, number: None if name == "7" else DONE_NOW)

    found = run(engine)

    assert found.pop("7").error == "its worker was lost 3 times (killed)"
    assert {one.status for one in found.values()} == {DONE}
    assert engine.tries["7"] == 3


def test_a_song_whose_store_does_not_answer_is_tried_again_after_growing_waits() -> None:
    time, tried_s = FakeTime(), list[float]()

    def plan(worker: int, name: str, number: int) -> Outcome:
        if name == "3":
            tried_s.append(time.now_s)
        return AWAY if name == "3" else DONE_NOW

    found = run(Fake(plan), tries=4, time=time)

    assert found.pop("3").error == "away"
    assert {one.status for one in found.values()} == {DONE}
    waits_s = [after - earlier for earlier, after in itertools.pairwise(tried_s)]
    for wait_s, most_s in zip(waits_s, (5, 20, 80), strict=True):
        assert most_s / 2 <= wait_s <= most_s + 1  # rounded up to whole seconds


def test_no_wait_is_longer_than_the_limit() -> None:
    waits_s = [before(number) for number in (*range(1, 500), 1_000_000)]

    assert FIRST_S / 2 <= waits_s[0] <= FIRST_S
    assert MOST_S / 2 <= min(waits_s[4:]) <= max(waits_s) <= MOST_S


def test_a_store_that_is_away_for_minutes_costs_no_song() -> None:
    time = FakeTime()
    engine = Fake(lambda *_: AWAY if time.now_s < 240 else DONE_NOW)

    found = run(engine, songs=200, time=time)

    assert {one.status for one in found.values()} == {DONE}
    # In vain: at most what three workers have twice, before each pause. Waits are random.
    assert engine.tries.total() <= 200 + 2 * 6 * MOST_PAUSES


def test_a_store_that_stays_away_ends_the_run() -> None:
    time = FakeTime()
    engine = Fake(lambda *_: AWAY)

    with pytest.raises(OutputError, match="no song could be read or written"):
        run(engine, songs=200, time=time)

    assert engine.tries.total() <= 2 * 6 * (MOST_PAUSES + 1)
    assert 500 <= time.now_s <= 1100


def test_a_request_of_the_program_itself_is_repeated_unless_it_is_refused() -> None:
    time, tries = FakeTime(), list[int]()

    def failing(error: StoreError, most: int) -> str:
        tries.append(1)
        if len(tries) <= most:
            raise error
        return "written"

    assert repeated(lambda: failing(StoreError("away"), 2), time.clock) == "written"
    assert 12 <= time.now_s <= 25
    with pytest.raises(StoreError, match="away"):
        repeated(lambda: failing(StoreError("away"), 99), time.clock)
    tries.clear()
    with pytest.raises(RefusedError):
        repeated(lambda: failing(RefusedError("no"), 99), time.clock)
    assert len(tries) == 1


def test_a_damaged_song_is_not_tried_again() -> None:
    engine = Fake(lambda *_: Outcome(status=FAILED, error="no audio"))

    run(engine)

    assert max(engine.tries.values()) == 1


def test_workers_that_are_always_lost_end_the_run() -> None:
    engine = Fake(lambda *_: None)

    with pytest.raises(OutputError, match="in a row were lost: killed"):
        run(engine, tries=100)

    assert engine.started <= MOST_LOST + 2 * 3


def test_a_machine_with_many_workers_may_be_lost() -> None:
    many = 2 * MOST_LOST
    engine = Fake(lambda worker, *_: None if worker < many else DONE_NOW, count=many)
    engine.served = list  # the oldest first, so all losses come in a row

    found = run(engine, songs=4 * many)

    assert {one.status for one in found.values()} == {DONE}
    assert engine.started == 2 * many


def test_a_recipe_that_no_worker_can_load_ends_the_run() -> None:
    class Refuses(Fake):
        def wait(self, seconds: float) -> Sequence[Event]:
            raise ConfigError("no such weights")

    with pytest.raises(ConfigError, match="no such weights"):
        run(Refuses(lambda *_: DONE_NOW))


def test_no_songs_need_no_worker() -> None:
    engine = Fake(lambda *_: DONE_NOW)

    assert run(engine, songs=0) == {}
    assert engine.started == 0
