"""Costs are measured once per machine, and problems with their file are no errors."""

import gc
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from demixing.schedule import costs
from demixing.schedule.costs import Cost, Costs
from demixing.separator import Chunking


class FakeClock:
    """A clock that only separators move, and a timer that reads it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def timer(self, call: Callable[[], object]) -> float:
        started_s = self.now_s
        call()
        return self.now_s - started_s


@dataclass
class Fake:
    """Takes ``fixed_s`` per call and ``chunk_s`` per chunk, plus ``first_s`` the first time."""

    clock: FakeClock
    fixed_s: float = 0.0
    chunk_s: float = 1.0
    first_s: float = 0.0
    most: int = 100
    calls: int = 0
    chunking: Chunking = Chunking(chunk=100, hop=80)
    stems: tuple[str, ...] = ("one",)
    sample_rate_hz: None = None

    def separate(self, chunks: Tensor) -> Tensor:
        if len(chunks) > self.most:
            raise RuntimeError("CUDA out of memory")
        self.clock.now_s += self.fixed_s + len(chunks) * self.chunk_s
        self.clock.now_s += 0 if self.calls else self.first_s
        self.calls += 1
        return chunks[:, None]


def measured(batches: Sequence[int] = costs.BATCHES, **kind: float) -> Cost:
    clock = FakeClock()
    fake = Fake(clock, **kind)  # type: ignore[arg-type]
    return costs.measure(fake, timer=clock.timer, batches=batches)


def test_the_extra_time_of_the_first_chunk_is_separate() -> None:
    cost = measured(chunk_s=0.5, first_s=1)

    assert (cost.chunk_s, cost.first_s, cost.batch) == (0.5, 1, 1)


def test_the_batch_grows_as_long_as_it_saves_time() -> None:
    # 0.11, 0.06, 0.035, 0.0225 and 0.016 s per chunk.
    assert measured(fixed_s=0.1, chunk_s=0.01).batch == 16
    assert measured(fixed_s=0.001, chunk_s=0.1).batch == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU needs batches")
def test_on_a_cpu_the_batch_is_one_chunk() -> None:
    clock = FakeClock()

    assert costs.measure(Fake(clock, fixed_s=0.1, chunk_s=0.01), timer=clock.timer).batch == 1


def test_batches_that_do_not_fit_end_the_search() -> None:
    assert measured(fixed_s=0.1, chunk_s=0.01, most=4).batch == 4


def test_a_slow_separator_is_measured_once() -> None:
    clock = FakeClock()
    slow = Fake(clock, chunk_s=20)

    assert costs.measure(slow, timer=clock.timer).chunk_s == 20
    assert slow.calls == 1


def test_costs_are_kept_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "costs.json"
    clock = FakeClock()
    first, second = Fake(clock), Fake(clock)

    known = Costs(path, timer=clock.timer).of("fake", {"a": 1}, first)
    again = Costs(path, timer=clock.timer).of("fake", {"a": 1}, second)

    assert known == again
    assert first.calls > 0
    assert second.calls == 0
    assert [*path.parent.iterdir()] == [path]


def test_other_options_are_another_separator(tmp_path: Path) -> None:
    clock = FakeClock()
    known, fake = Costs(tmp_path / "costs.json", timer=clock.timer), Fake(clock)
    known.of("fake", {"a": 1}, fake)
    calls = fake.calls

    known.of("fake", {"a": 2}, fake)

    assert fake.calls > calls


@pytest.mark.parametrize("text", ["", "[1]", '{"key": 5}', '{"key": {"speed": 1}}', "\xff"])
def test_a_file_that_cannot_be_read_is_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "costs.json"
    path.write_text(text, encoding="latin-1")
    clock = FakeClock()

    Costs(path, timer=clock.timer).of("fake", {}, Fake(clock))

    assert len(json.loads(path.read_text())) == 1


def test_a_file_that_cannot_be_written_is_not_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file" / "costs.json"
    path.parent.write_text("in the way")
    clock = FakeClock()

    assert Costs(path, timer=clock.timer).of("fake", {}, Fake(clock)).chunk_s == 1


def test_the_environment_names_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(costs.FILE_VARIABLE, str(tmp_path / "given.json"))
    clock = FakeClock()
    known = Costs.at_home()
    known._timer = clock.timer

    known.of("fake", {}, Fake(clock))

    assert (tmp_path / "given.json").is_file()


@pytest.mark.usefixtures("homeless")
def test_without_a_home_costs_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(costs.FILE_VARIABLE)
    clock = FakeClock()
    fake = Fake(clock)
    known = Costs.at_home()
    known._timer = clock.timer

    cost = known.of("fake", {}, fake)
    calls = fake.calls

    assert known.of("fake", {}, fake) == cost
    assert fake.calls == calls
    assert known._path is None


@pytest.mark.engine
def test_memory_is_the_peak_at_work() -> None:
    @dataclass
    class Hungry(Fake):
        def separate(self, chunks: Tensor) -> Tensor:
            torch.ones(50_000_000)  # 200 MB
            return super().separate(chunks)

    cost = costs.measure(Hungry(FakeClock()))

    assert 150e6 < cost.memory_bytes < 400e6


@pytest.mark.engine
def test_earlier_garbage_does_not_hide_the_peak() -> None:
    garbage: list[object] = [torch.ones(100_000_000)]  # 400 MB
    garbage.append(garbage)
    del garbage

    @dataclass
    class Collecting(Fake):
        def separate(self, chunks: Tensor) -> Tensor:
            gc.collect()
            torch.ones(50_000_000)  # 200 MB
            return super().separate(chunks)

    assert costs.measure(Collecting(FakeClock())).memory_bytes > 150e6


def test_this_process_has_a_size(tmp_path: Path) -> None:
    assert costs.status_bytes("VmRSS") > 0
    assert costs.status_bytes("VmRSS", tmp_path / "nothing") == 0
    assert math.isnan(Cost().chunk_s)
