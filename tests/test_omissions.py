"""Each song reports its omissions: which member, for how much of the song, and why."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from demixing import separators
from demixing.engine.demixer import Demixer
from demixing.engine.omissions import Omission
from demixing.errors import CheckpointError
from demixing.recipes import reading
from demixing.schedule.budget import Deadline
from demixing.schedule.costs import Cost
from demixing.separator import Chunking
from tests.fake_time import FakeTime

CHUNKS = 10
SONG = torch.ones(2, 1000 * CHUNKS)


@dataclass
class Fake:
    """Returns the mixture; ``trouble`` gets the number of calls, and may raise."""

    clock: FakeTime
    cost_s: float = 0.0
    trouble: Callable[[int], None] = lambda call: None
    chunking: Chunking = field(default_factory=lambda: Chunking(chunk=1000, hop=1000))
    stems: tuple[str, ...] = ("part",)
    sample_rate_hz: None = None
    calls: int = 0

    def separate(self, chunks: Tensor) -> Tensor:
        self.calls += 1
        self.clock.cost_s += self.cost_s * len(chunks)
        self.trouble(self.calls)
        return chunks[:, None]


def raises(call: int) -> None:
    raise ValueError("boom\nand more about it")


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
def demixer(monkeypatch: pytest.MonkeyPatch, clock: FakeTime) -> Callable[..., Demixer]:
    """Two members; an error instead of one is raised when it is built."""

    def make(*built: Any, **settings: Any) -> Demixer:
        queue = list(built)

        def build(*_: object) -> Any:
            one = queue.pop(0)
            if isinstance(one, Exception):
                raise one
            return one

        monkeypatch.setattr(separators, "build", build)
        table = {
            "track": "cdx",
            "summary": "-",
            "residual": "music",
            "members": [
                {"name": "first", "separator": "fake", "outputs": {"dialog": ["part"]}, **settings},
                {"name": "second", "separator": "fake", "outputs": {"effect": ["part"]}},
            ],
        }
        ready = Demixer(reading.parse("test", table), forgiving=True)
        ready._run = clock.run
        return ready

    return make


def omissions(
    ready: Demixer, clock: FakeTime, budget_s: float = math.inf, song: Tensor = SONG
) -> tuple[Omission, ...]:
    blocks = torch.split(song, 3000, dim=-1)
    deadline = Deadline(budget_s, clock=clock)
    for _ in ready.stream(blocks, 44_100, samples=song.shape[-1], deadline=deadline):
        pass
    return ready.omissions


def test_there_are_no_omissions_if_all_members_work(
    demixer: Callable[..., Demixer], clock: FakeTime
) -> None:
    assert omissions(demixer(Fake(clock), Fake(clock)), clock) == ()


def test_a_member_without_weights_is_omitted_everywhere(
    demixer: Callable[..., Demixer], clock: FakeTime
) -> None:
    ready = demixer(CheckpointError("no weights\nfetch them"), Fake(clock))

    assert ready.omissions == (Omission(member="first", part=1.0, reason="no weights"),)
    assert omissions(ready, clock) == ready.omissions


def test_a_member_that_fails_is_omitted_with_its_error(
    demixer: Callable[..., Demixer], clock: FakeTime
) -> None:
    ready = demixer(Fake(clock), Fake(clock, trouble=raises))

    assert omissions(ready, clock) == (
        Omission(member="second", part=1.0, reason="ValueError: boom"),
    )


def test_a_member_that_fails_twice_is_omitted_in_two_chunks(
    demixer: Callable[..., Demixer], clock: FakeTime
) -> None:
    def sometimes(call: int) -> None:
        if call in (4, 5):
            raises(call)

    ready = demixer(Fake(clock, trouble=sometimes), Fake(clock))

    assert omissions(ready, clock) == (
        Omission(member="first", part=2 / CHUNKS, reason="ValueError: boom"),
    )


def test_a_member_that_hangs_is_omitted_from_then_on(
    demixer: Callable[..., Demixer], clock: FakeTime
) -> None:
    def hang(call: int) -> None:
        if call == 8:
            clock.cost_s = math.inf

    ready = demixer(Fake(clock, trouble=hang), Fake(clock))

    assert omissions(ready, clock, budget_s=10) == (
        Omission(member="first", part=3 / CHUNKS, reason="late"),
    )


def test_chunks_without_time_are_omissions(
    demixer: Callable[..., Demixer], clock: FakeTime
) -> None:
    first, second = Fake(clock, cost_s=1.0), Fake(clock, cost_s=1.0)
    ready = demixer(first, second)
    ready.costs = [Cost(chunk_s=1.0), Cost(chunk_s=1.0)]

    found = omissions(ready, clock, budget_s=1.25 * CHUNKS + 3)

    assert {one.reason for one in found} == {"there is no time for more of it"}
    asked = {"first": first.calls, "second": second.calls}
    assert {one.member: round(CHUNKS * (1 - one.part)) for one in found} == {
        name: calls for name, calls in asked.items() if calls < CHUNKS
    }
    assert 0 < sum(one.part for one in found) < 1


def test_of_several_passes_each_counts(demixer: Callable[..., Demixer], clock: FakeTime) -> None:
    def sometimes(call: int) -> None:
        if call == 1:
            raises(call)

    ready = demixer(Fake(clock, trouble=sometimes), Fake(clock), settings=[{"passes": 4}])

    (omission,) = omissions(ready, clock)
    # The passes cut the song in other places, so three of them need one more chunk.
    assert omission.part == pytest.approx(1 / (4 * CHUNKS + 3))


def test_silence_is_a_valid_output_for_silence(
    demixer: Callable[..., Demixer], clock: FakeTime
) -> None:
    song = SONG.clone()
    song[:, : 1000 * CHUNKS // 2] = 0
    ready = demixer(Fake(clock, trouble=raises), Fake(clock))

    (omission,) = omissions(ready, clock, song=song)

    assert omission.part == 0.5
    assert omissions(ready, clock, song=torch.zeros_like(SONG)) == ()


def test_omissions_are_those_of_one_song(demixer: Callable[..., Demixer], clock: FakeTime) -> None:
    def once(call: int) -> None:
        if call == 1:
            raises(call)

    ready = demixer(Fake(clock, trouble=once), Fake(clock))

    assert len(omissions(ready, clock)) == 1
    assert omissions(ready, clock) == ()


def test_there_are_no_omissions_without_a_deadline(
    demixer: Callable[..., Demixer], clock: FakeTime
) -> None:
    ready = demixer(Fake(clock, trouble=lambda call: None), Fake(clock))
    omissions(ready, clock)

    list(ready.stream([SONG], 44_100))

    assert ready.omissions == ()
