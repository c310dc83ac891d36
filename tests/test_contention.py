"""The kernel's counters distinguish a busy machine from a slow separator; here they are fake."""

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demixing.process import child as child_
from demixing.process.child import Child, LostError
from demixing.process.memory import Memory
from demixing.process.subprocess_demixer import SubprocessDemixer
from demixing.recipes import reading
from demixing.schedule import contention
from demixing.schedule.contention import Contention

Tell = Callable[..., None]


@pytest.fixture
def tell(tmp_path: Path) -> Tell:
    """Set how many seconds a thread has run and waited so far."""

    def tell(thread: int, ran_s: float, waited_s: float, process: int | str = "self") -> None:
        task = tmp_path / str(process) / "task" / str(thread)
        task.mkdir(parents=True, exist_ok=True)
        (task / "schedstat").write_text(f"{ran_s * 1e9:.0f} {waited_s * 1e9:.0f} 12\n")

    return tell


def test_the_slowdown_is_that_of_all_threads_since_the_start(tmp_path: Path, tell: Tell) -> None:
    tell(1, ran_s=100, waited_s=0)
    tell(2, ran_s=5, waited_s=70)
    measured = Contention(proc=tmp_path)

    tell(1, ran_s=101, waited_s=3)
    tell(2, ran_s=6, waited_s=73)

    assert measured.slowdown() == pytest.approx(4)
    assert measured.longest_wait_s() == pytest.approx(3)


def test_an_idle_machine_has_no_slowdown(tmp_path: Path, tell: Tell) -> None:
    tell(1, ran_s=100, waited_s=9)
    measured = Contention(proc=tmp_path)

    tell(1, ran_s=102, waited_s=9)

    assert measured.slowdown() == 1


def test_threads_may_start_and_end(tmp_path: Path, tell: Tell) -> None:
    tell(1, ran_s=100, waited_s=0)
    tell(2, ran_s=50, waited_s=50)
    measured = Contention(proc=tmp_path)

    shutil.rmtree(tmp_path / "self" / "task" / "2")
    tell(1, ran_s=101, waited_s=0)
    tell(3, ran_s=1, waited_s=2)

    assert measured.slowdown() == pytest.approx(2)
    assert measured.longest_wait_s() == pytest.approx(2)


def test_a_restart_discards_earlier_times(tmp_path: Path, tell: Tell) -> None:
    measured = Contention(proc=tmp_path)
    tell(1, ran_s=1, waited_s=9)
    assert measured.slowdown() == pytest.approx(10)

    measured.restart()

    assert measured.slowdown() is None
    assert measured.longest_wait_s() == 0


def test_too_little_running_time_gives_no_slowdown(tmp_path: Path, tell: Tell) -> None:
    measured = Contention(proc=tmp_path)
    tell(1, ran_s=contention.LEAST_RUN_S / 2, waited_s=1)
    assert measured.slowdown() is None

    tell(1, ran_s=0.1, waited_s=1e6)
    assert measured.slowdown() == contention.MOST


@pytest.mark.parametrize("text", ["", "fast", "1", "1.5 2.5 3"])
def test_a_machine_without_counters_is_assumed_to_be_idle(
    tmp_path: Path, tell: Tell, text: str
) -> None:
    assert Contention(proc=tmp_path / "nothing").slowdown() is None
    measured = Contention(proc=tmp_path)

    tell(1, ran_s=1, waited_s=1)
    (tmp_path / "self" / "task" / "1" / "schedstat").write_text(text)

    assert measured.slowdown() is None
    assert measured.longest_wait_s() == 0


def test_another_process_is_measured_by_its_pid(tmp_path: Path, tell: Tell) -> None:
    measured = Contention(77, tmp_path)

    tell(1, ran_s=1, waited_s=1)
    tell(77, ran_s=1, waited_s=4, process=77)

    assert measured.slowdown() == pytest.approx(5)


def test_measured_times_are_those_of_an_idle_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tell: Tell
) -> None:
    clock = Clock()
    monkeypatch.setattr(contention, "Contention", lambda: Contention(proc=tmp_path))

    def call() -> None:
        clock.now_s += 8
        tell(1, ran_s=2, waited_s=6)

    assert contention.idle_s(call, clock) == pytest.approx(2)

    shutil.rmtree(tmp_path / "self")
    assert contention.idle_s(lambda: setattr(clock, "now_s", 20), clock) == 12


# A child that waits for a processor


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class FakeProcess:
    """A child as its parent sees it: an id, and two idle pipes."""

    pid = 1 << 30  # larger than any process's

    def __init__(self) -> None:
        (stdin, self._in), (self._out, stdout) = os.pipe(), os.pipe()
        self.stdin, self.stdout = os.fdopen(self._in, "wb"), os.fdopen(self._out, "rb")
        self._others = os.fdopen(stdin, "rb"), os.fdopen(stdout, "wb")

    def wait(self, timeout: float) -> int:
        for file in self._others:
            file.close()
        return 0


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    monkeypatch.setattr(child_, "Contention", lambda pid: Contention(pid, tmp_path))
    return lambda *_, **__: FakeProcess()


def test_a_late_heartbeat_is_excused_while_the_child_waits_for_a_processor(
    spawned: Callable[..., Any], tell: Tell
) -> None:
    clock = Clock()
    child = Child({}, spawn=spawned, clock=clock)
    child._status.heartbeats = 1
    assert child.since_heartbeat_s() == 0

    clock.now_s = 30
    tell(5, ran_s=1, waited_s=28, process=FakeProcess.pid)
    tell(6, ran_s=1, waited_s=20, process=FakeProcess.pid)
    assert child.since_heartbeat_s() == pytest.approx(2)

    child._status.heartbeats = 2
    assert child.since_heartbeat_s() == 0
    clock.now_s = 40
    assert child.since_heartbeat_s() == pytest.approx(
        10
    )  # only waits since the last heartbeat count
    child.kill()


@pytest.mark.parametrize("waited_s", [0, 28])
def test_only_a_child_that_could_have_run_is_lost(
    monkeypatch: pytest.MonkeyPatch, spawned: Callable[..., Any], tell: Tell, waited_s: float
) -> None:
    class Plenty(Memory):
        def pressing(self, pid: int) -> str | None:
            return None

    monkeypatch.setattr(SubprocessDemixer, "_spawn", lambda self, *_, **__: spawned())
    clock = Clock()
    ready = SubprocessDemixer(reading.load("mdx_silence"), memory=Plenty(), clock=clock)
    child = ready._child
    assert child is not None
    child.ready = child.greeted = True

    clock.now_s = 30
    tell(5, ran_s=1, waited_s=waited_s, process=FakeProcess.pid)

    ready._check(child, math.inf)
    if waited_s:
        ready._check(child, 100)
    else:
        with pytest.raises(LostError, match=r"no heartbeat for 30\.0 s"):
            ready._check(child, 100)
    ready._end()
