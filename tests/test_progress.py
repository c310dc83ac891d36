"""The bar moves with the work rather than with the samples; all clocks are fake."""

import functools
import io
import itertools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from demixing import audio, separators
from demixing.engine import progress_bar, workload
from demixing.engine.demixer import Demixer
from demixing.engine.progress import LOADING, SEPARATING, Progress, Together, Work
from demixing.engine.progress_bar import ahead, bar
from demixing.separator import Chunking, Separator
from tests.fake_time import FakeTime
from tests.plain import shipped

pytestmark = pytest.mark.engine


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
def events() -> list[Progress]:
    return []


def test_the_work_is_all_chunks_of_all_members(clock: FakeTime, events: list[Progress]) -> None:
    work = Work([2, 6], [3.0, 1.0], 60.0, events.append, clock)
    assert events == [Progress(stage=SEPARATING, audio_s=60.0)]

    clock.now_s = 3.0
    work.done(0, 1)
    clock.now_s = 5.0
    work.done(1, 2)

    assert [event.done for event in events[1:]] == pytest.approx([3 / 12, 5 / 12])
    assert [event.remaining_s for event in events[1:]] == pytest.approx([9, 7])
    assert [event.elapsed_s for event in events[1:]] == pytest.approx([3, 5])
    assert events[-1].speed == pytest.approx(60 * 5 / 12 / 5)


def test_the_cost_of_chunks_is_learnt(clock: FakeTime, events: list[Progress]) -> None:
    work = Work([4, 4], [1.0, 1.0], 60.0, events.append, clock)

    clock.now_s = 9.0
    work.done(0, 1)

    # The other member is still assumed to need 1 s per chunk.
    assert events[-1].remaining_s == pytest.approx(3 * 9 + 4 * 1)
    assert events[-1].done == pytest.approx(9 / 40)


@pytest.mark.parametrize("costs_s", [[math.nan] * 3, [5.0, math.nan, 0.1]])
def test_progress_never_decreases_and_ends_at_1(
    clock: FakeTime, events: list[Progress], costs_s: list[float]
) -> None:
    chunks = [5, 7, 3]
    work = Work(chunks, costs_s, 60.0, events.append, clock)

    # Each chunk takes longer than the one before it, which makes the rest look longer.
    for number in range(7):
        for member, count in enumerate(chunks):
            if number < count:
                clock.now_s += (1 + number) * (1 + member)
                work.done(member, 1)

    done = [event.done for event in events]
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == 1
    assert events[-1].remaining_s == 0


def test_an_unknown_cost_is_assumed_to_be_the_mean_of_the_others(
    clock: FakeTime, events: list[Progress]
) -> None:
    work = Work([2, 2, 2], [math.nan] * 3, 60.0, events.append, clock)

    clock.now_s = 4.0
    work.done(1, 1)

    assert events[-1].done == pytest.approx(1 / 6)
    assert events[-1].remaining_s == pytest.approx(5 * 4)


def test_refused_chunks_count_as_finished(clock: FakeTime, events: list[Progress]) -> None:
    work = Work([2, 4], [1.0, 1.0], 60.0, events.append, clock)
    for _ in range(2):
        clock.now_s += 1.0
        work.done(0, 1)
    assert events[-1].remaining_s == pytest.approx(4)

    for _ in range(4):  # they take no time
        work.done(1, 1)

    assert events[-1].done == 1
    assert events[-1].remaining_s == 0
    assert events[-1].elapsed_s == 2


def test_no_chunks_are_no_event(clock: FakeTime, events: list[Progress]) -> None:
    Work([2], [1.0], 60.0, events.append, clock).done(0, 0)

    assert len(events) == 1


def test_songs_count_by_their_length(clock: FakeTime, events: list[Progress]) -> None:
    clock.now_s = 100.0
    together = Together({"long": 30.0, "short": 10.0}, events.append, clock)
    assert events == [Progress(stage=LOADING, audio_s=40.0)]

    clock.now_s = 200.0
    together.update("short", 0.0)
    clock.now_s = 210.0
    together.update("short", 1.0)
    together.update("long", 0.5)
    together.update("long", 0.2)  # from a second process that starts again

    assert [event.done for event in events[1:]] == pytest.approx([0, 0.25, 0.625, 0.625])
    assert math.isnan(events[1].remaining_s)
    assert events[2].remaining_s == pytest.approx(30), "loading is not counted as work"
    assert events[-1].speed == pytest.approx(2.5)


def test_songs_without_samples_are_finished_at_once(
    clock: FakeTime, events: list[Progress]
) -> None:
    together = Together({"empty": 0.0}, events.append, clock)

    together.update("empty", 1.0)

    assert events[-1].done == 1


def test_between_two_events_the_bar_moves_at_most_half_of_the_rest() -> None:
    event = Progress(stage=SEPARATING, done=0.6, remaining_s=10.0)

    assert ahead(event, 0.0) == (0.6, 10.0)
    assert ahead(event, 2.5) == pytest.approx((0.7, 7.5))
    assert ahead(event, 100.0) == pytest.approx((0.8, 0.0))


@pytest.mark.parametrize("remaining_s", [math.nan, 0.0, -1.0])
def test_without_an_expectation_the_bar_waits(remaining_s: float) -> None:
    event = Progress(stage=SEPARATING, done=0.6, remaining_s=remaining_s)

    assert ahead(event, 100.0) == (0.6, 0.0)


# The terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, clock: FakeTime) -> Callable[[], Terminal]:
    """Opens a terminal; the bar reads the clock only for an event."""
    monkeypatch.setattr(progress_bar, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr(progress_bar, "REFRESH_S", 1e6)

    def open_() -> Terminal:  # in the test itself: pytest captures again after its fixtures
        opened = Terminal()
        monkeypatch.setattr(sys, "stderr", opened)
        return opened

    return open_


def test_in_a_pipe_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("song.wav") as report:
        report(Progress(stage=SEPARATING, done=0.5, elapsed_s=1.0, remaining_s=1.0, audio_s=8.0))

    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_the_progress(terminal: Callable[[], Terminal]) -> None:
    shown = terminal()
    with bar("song.wav") as report:
        loading = shown.getvalue()
        report(Progress(stage=SEPARATING, audio_s=80.0))
        report(Progress(stage=SEPARATING, done=0.25, elapsed_s=4, remaining_s=12, audio_s=80))
        early = shown.getvalue()[len(loading) :]
        report(Progress(stage=SEPARATING, done=0.5, elapsed_s=400, remaining_s=400, audio_s=80))

    assert "song.wav: loading   0%" in loading
    assert "loading" not in early
    assert " 25%" in early
    assert "5.0 x faster than real time, 0:12 left" in early
    assert " 50%" in shown.getvalue()
    assert "10.0 x slower than real time, 6:40 left" in shown.getvalue()


def test_a_bar_never_goes_back(terminal: Callable[[], Terminal]) -> None:
    shown = terminal()
    with bar("song.wav") as report:
        report(Progress(stage=SEPARATING, done=0.5, elapsed_s=4, remaining_s=4, audio_s=80))
        before = len(shown.getvalue())
        report(Progress(stage=SEPARATING, done=0.3, elapsed_s=5, remaining_s=9, audio_s=80))

    assert " 50%" in shown.getvalue()[before:]
    assert " 30%" not in shown.getvalue()


def test_between_two_events_the_bar_moves(
    terminal: Callable[[], Terminal], clock: FakeTime
) -> None:
    shown = terminal()
    with progress_bar._Bar("song.wav") as shown_bar:
        shown_bar.report(
            Progress(stage=SEPARATING, done=0.5, elapsed_s=4, remaining_s=4, audio_s=80)
        )
        clock.now_s += 1.0
        shown_bar._show()

    assert " 62%" in shown.getvalue()
    assert "0:03 left" in shown.getvalue()


# A whole song

SCALE = 32
"""Chunks and the song are shorter than real ones by this factor, so their number is the same."""

SONG_S = 120

COSTS_S = {"spleeter": 1.0, "net": 1.2, "short": 0.7, "long": 0.9, "centre": 0.3, "again": 1.2}
"""Seconds per chunk; only their ratios matter."""


@dataclass
class Fake:
    """Answers with silence, in the time that a real separator would take."""

    clock: FakeTime
    cost_s: float
    stems: tuple[str, ...]
    chunking: Chunking
    sample_rate_hz: int | None = None

    def separate(self, chunks: Tensor) -> Tensor:
        self.clock.now_s += self.cost_s * len(chunks)
        return torch.zeros(len(chunks), len(self.stems), *chunks.shape[1:])


def scaled(cut: Chunking) -> Chunking:
    return Chunking(
        chunk=cut.chunk // SCALE,
        hop=cut.hop // SCALE,
        context=cut.context // SCALE,
    )


@functools.cache
def real() -> list[Separator]:
    members = shipped("mdx_default").members
    return [separators.build(member.separator, member.options) for member in members]


@pytest.fixture
def default(monkeypatch: pytest.MonkeyPatch, clock: FakeTime) -> Demixer:
    chosen = shipped("mdx_default")
    queue = [
        Fake(clock, COSTS_S[member.name], one.stems, scaled(one.chunking))
        for member, one in zip(chosen.members, real(), strict=True)
    ]
    monkeypatch.setattr(separators, "build", lambda *_: queue.pop(0))
    monkeypatch.setattr(workload, "Work", functools.partial(Work, clock=clock))
    return Demixer(chosen)


def timed(ready: Demixer, clock: FakeTime) -> list[tuple[float, Progress]]:
    """Separate the song; return the events, and when each of them came."""
    found: list[tuple[float, Progress]] = []

    def report(event: Progress) -> None:
        found.append((clock.now_s, event))

    song = torch.ones(2, SONG_S * 44_100 // SCALE)
    blocks = torch.split(song, audio.BLOCK // SCALE, dim=-1)
    for _ in ready.stream(blocks, 44_100, samples=song.shape[-1], report=report):
        pass
    return found


def positions(events: list[tuple[float, Progress]], step_s: float) -> list[int]:
    """Positions of the bar at regular times."""
    shown, at_s = [0], 0.0
    for number, (came_s, event) in enumerate(events):
        until_s = events[number + 1][0] if number + 1 < len(events) else came_s + step_s
        at_s = max(at_s, came_s)
        while at_s < until_s:
            done, _ = ahead(event, at_s - came_s)
            shown.append(max(shown[-1], round(progress_bar.SCALE * done)))
            at_s += step_s
    return shown


def test_the_bar_moves_at_least_every_fiftieth_of_the_work(
    default: Demixer, clock: FakeTime
) -> None:
    events = timed(default, clock)

    assert events[-1][1].done == 1
    step_s = clock.now_s / 1000
    shown = positions(events, step_s)
    stands, jumps = [0], []
    for before, after in itertools.pairwise(shown):
        stands.append(0 if after > before else stands[-1] + 1)
        jumps.append(after - before)
    assert max(stands) < 20, "the bar stands too long"
    assert max(jumps) < 100, "the bar jumps too far"
