"""Whatever happens to the child process, the grader's process has all stems in time."""

import json
import logging
import math
import os
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from demixing.engine.omissions import Omission
from demixing.engine.progress import Progress, Report
from demixing.errors import ConfigError, SongError
from demixing.process import subprocess_demixer
from demixing.process.child import Child
from demixing.process.memory import Memory
from demixing.process.subprocess_demixer import SubprocessDemixer
from demixing.process.worker import table
from demixing.recipes import reading
from demixing.recipes.recipe import Recipe
from demixing.schedule.budget import Deadline
from my_submission.predictor import Predictor

pytestmark = pytest.mark.process

RATE_HZ = 8_000
BUDGET_S = 20.0
SONG = 0.1 * torch.randn(2, 3 * RATE_HZ, generator=torch.Generator().manual_seed(0))
STEMS = ["bass", "drums", "other", "vocals"]
FAKE = Path(__file__).with_name("fake_worker.py")

TABLE: dict[str, Any] = {
    "track": "mdx",
    "summary": "For tests.",
    "members": [
        {
            "name": name,
            "separator": "equal_shares",
            "outputs": {stem: [stem] for stem in STEMS},
        }
        for name in ("naughty", "good")
    ],
}

Isolate = Callable[..., SubprocessDemixer]


class Clock:
    """Stands still, except while the child runs a member: then each reading takes ``step_s``.

    So no child is late because the machine is slow, and nothing waits for real time to pass.
    """

    def __init__(self, *, always: bool = False, step_s: float = 0.0) -> None:
        self.now_s = 0.0
        self.step_s = step_s
        self.most_s = math.inf
        self.always = always
        self.child: Callable[[], Child | None] = lambda: None

    def __call__(self) -> float:
        child = self.child()
        if self.always or (child is not None and child.member == 0):
            self.now_s = min(self.now_s + self.step_s, self.most_s)
        return self.now_s


@pytest.fixture(autouse=True)
def isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIX_ISOLATE", "1")


@pytest.fixture
def isolate() -> Iterator[Isolate]:
    """Start fakes, and check that none of them is left."""
    started: list[SubprocessDemixer] = []

    def start(
        behaviour: str, memory: Memory | None = None, step_s: float = 0.0
    ) -> SubprocessDemixer:
        command = (sys.executable, str(FAKE), behaviour)
        started.append(isolated(command, memory=memory, step_s=step_s))
        return started[-1]

    before = children()
    yield start
    started.clear()
    assert children() <= before


def isolated(
    command: Sequence[str], *, always: bool = False, step_s: float = 0.0, **options: Any
) -> SubprocessDemixer:
    """Start a program as the child, and a clock that watches it."""
    clock = Clock(always=always, step_s=step_s)
    ready = SubprocessDemixer(reading.parse("test", TABLE), command=command, clock=clock, **options)
    reference = weakref.ref(ready)

    def child() -> Child | None:
        alive = reference()
        return alive._child if alive else None

    clock.child = child
    return ready


def children() -> set[int]:
    """Child processes, zombies included."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


def cut(song: Tensor) -> Iterator[Tensor]:
    return (song[:, start : start + 1000] for start in range(0, song.shape[-1], 1000))


def separated(
    ready: SubprocessDemixer,
    song: Tensor = SONG,
    budget_s: float = BUDGET_S,
    *,
    exact: bool = True,
    report: Report | None = None,
) -> Tensor:
    """Separate a song in time, and check the invariants."""
    deadline = Deadline(budget_s, clock=ready._clock)
    stream = ready.stream(
        cut(song), RATE_HZ, samples=song.shape[-1], deadline=deadline, report=report
    )
    stems = torch.cat(list(stream), dim=-1)
    assert deadline.remaining_s > 0
    assert stems.shape == (4, *song.shape)
    assert torch.isfinite(stems).all()
    if exact:
        torch.testing.assert_close(stems.sum(dim=0), song, rtol=0, atol=2e-6)
    return stems


def assert_fake(stems: Tensor) -> None:
    """The child has separated all of it."""
    for number, stem in enumerate(stems, 1):
        torch.testing.assert_close(stem, number / 10 * SONG, rtol=0, atol=2e-6)


def assert_shares(stems: Tensor) -> None:
    torch.testing.assert_close(stems, (SONG / 4).expand(4, -1, -1), rtol=0, atol=2e-6)


def test_a_child_separates_one_song_after_the_other(isolate: Isolate) -> None:
    ready = isolate("fine")

    assert_fake(separated(ready))
    first = children()
    assert_fake(separated(ready))

    assert children() == first, "by the same process"


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("segmentation fault", "was killed by SIGSEGV"),
        ("killed", "was killed by SIGKILL"),
        ("exit", "exited with status 3"),
        ("hold the lock", "no heartbeat for"),
        ("bug", "failed with KeyError: 'bug'"),
        ("full disk", "failed with OSError: [Errno 28] No space left on device"),
        ("file cut short", "failed with EOFError"),
        ("hold the lock while it is built", "no heartbeat for"),
        ("bug while it is built", "failed with KeyError: 'bug'"),
    ],
)
def test_another_child_continues_without_the_member_that_crashed(
    isolate: Isolate, caplog: pytest.LogCaptureFixture, behaviour: str, reason: str
) -> None:
    ready = isolate(behaviour, step_s=0.1 if "lock" in behaviour else 0.0)

    with caplog.at_level(logging.INFO):
        assert_fake(separated(ready))

    assert reason in caplog.text
    assert "naughty: was at work, so it is left out until the next song" in caplog.text
    assert "shares of the mixture" not in caplog.text
    (omission,) = ready.omissions
    assert (omission.member, omission.part > 0.5) == ("naughty", True)
    assert reason in omission.reason


@pytest.mark.parametrize(
    "behaviour", ["killed while it is built", "hold the lock while it is built"]
)
def test_a_member_that_cannot_be_built_takes_no_time_from_a_song(
    isolate: Isolate, behaviour: str
) -> None:
    ready = isolate(behaviour, step_s=0.1 if "lock" in behaviour else 0.0)
    ready.wait(20)
    first = children()

    for _ in range(2):
        assert_fake(separated(ready))
        assert [one.member for one in ready.omissions] == ["naughty"]
    assert children() == first, "by the process that was ready before the first song"


def test_a_member_that_takes_too_long_to_build_is_left_out_before_the_first_song(
    isolate: Isolate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess_demixer, "BUILD_S", 10)
    ready = isolate(
        "sleep while it is built", step_s=100
    )  # without the lock, so that its heart beats

    ready.wait(900)

    assert_fake(separated(ready))
    assert [one.member for one in ready.omissions] == ["naughty"]


def test_waiting_for_a_child_to_get_ready_has_a_limit(
    isolate: Isolate, caplog: pytest.LogCaptureFixture
) -> None:
    ready = isolate("build slowly while it is built")
    ready.wait(60)
    assert ready._child is not None
    assert ready._child.ready

    isolate("sleep while it is built", step_s=100).wait(10)
    assert "the child process is not ready after 10 s" in caplog.text


def test_the_parent_knows_the_omissions_of_a_child(isolate: Isolate) -> None:
    ready = isolate("partly")

    assert_fake(separated(ready))

    assert ready.omissions == (Omission(member="good", part=0.5, reason="it was tired"),)


def test_progress_reaches_the_parent(isolate: Isolate) -> None:
    events: list[Progress] = []

    separated(isolate("fine"), report=events.append)

    assert [event.done for event in events] == pytest.approx([(n + 1) / 24 for n in range(24)])


def test_without_a_deadline_nothing_is_given_up(isolate: Isolate) -> None:
    ready = isolate("build slowly")  # at second 1 of the song

    assert_fake(separated(ready, budget_s=math.inf))

    assert not ready.omissions


def test_a_member_gets_a_second_chance_but_no_third(
    isolate: Isolate, caplog: pytest.LogCaptureFixture
) -> None:
    ready = isolate("killed")

    for song in range(4):
        caplog.clear()
        assert_fake(separated(ready))
        assert ("was killed by SIGKILL" in caplog.text) == (song < 2)
        assert ("stays out from now on" in caplog.text) == (song == 1)


def test_a_member_that_does_not_return_costs_no_more_than_the_rest_of_its_song(
    isolate: Isolate, caplog: pytest.LogCaptureFixture
) -> None:
    ready = isolate("sleep", step_s=100)  # without the interpreter's lock, so that its heart beats
    ready._clock.most_s = 4.9  # type: ignore[attr-defined]

    stems = separated(ready, budget_s=5.0)

    torch.testing.assert_close(stems[0, :, -RATE_HZ:], SONG[:, -RATE_HZ:] / 4, rtol=0, atol=2e-6)
    assert "was not done in time" in caplog.text
    (omission,) = ready.omissions
    assert (omission.member, omission.reason) == ("", "it was not done in time")
    # Stems that had arrived by then are kept, which depends on the machine.
    assert 2 / 3 < omission.part < 1
    kept = round((1 - omission.part) * SONG.shape[-1])
    torch.testing.assert_close(stems[0, :, :kept], SONG[:, :kept] / 10, rtol=0, atol=2e-6)
    second = f"{kept / RATE_HZ:.1f}"
    assert f"from {second} s on, falling back to equal shares of the mixture" in caplog.text


class FullOnce(Memory):
    """Memory that is nearly full until a process has ended."""

    def __init__(self) -> None:
        self.ended: set[int] = set()

    def pressing(self, pid: int) -> str | None:
        if self.ended - {pid}:
            return None
        self.ended.add(pid)
        return "memory is full"


def test_a_child_is_killed_before_the_kernel_kills_something(
    isolate: Isolate, caplog: pytest.LogCaptureFixture
) -> None:
    assert_fake(separated(isolate("fine", FullOnce())))

    assert "must end, because memory is full" in caplog.text


@pytest.mark.parametrize(
    "command",
    [("/nowhere/python",), ("sleep", "1000"), ("false",), ("echo", "no frame at all")],
    ids=lambda command: Path(command[0]).name,
)
def test_without_a_child_the_song_gets_shares_of_the_mixture(
    command: Sequence[str], caplog: pytest.LogCaptureFixture
) -> None:
    if command[0] == "sleep":
        command = (sys.executable, "-c", "import time; time.sleep(1000)")
    before = children()
    ready = isolated(command, always=True, step_s=0.1)

    assert_shares(separated(ready, budget_s=20.0))
    assert_shares(separated(ready, budget_s=10.0))
    assert [str(one)[:41] for one in ready.omissions] == [
        "the whole song in equal shares of the mix"
    ]

    assert "from 0.0 s on, falling back to equal shares of the mixture" in caplog.text
    del ready
    assert children() <= before


def test_an_error_while_the_recipe_is_built_is_the_reason_in_one_bounded_line(
    isolate: Isolate, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    ready = isolate("fail")
    ready.wait(60)

    assert_shares(separated(ready))

    (omission,) = ready.omissions
    assert omission.reason.startswith("the child process failed with RuntimeError: no home\\nxxx")
    assert len(omission.reason) < 2500
    assert "the recipe cannot be built" in caplog.text
    assert "Traceback" not in capfd.readouterr().err


def test_a_song_for_which_no_child_was_ready_in_time_says_why_earlier_ones_failed(
    isolate: Isolate,
) -> None:
    ready = isolate("fail", step_s=19.9)
    ready.wait(60)
    ready._command = (sys.executable, "-c", "import time; time.sleep(1000)")
    # The song begins at 19.9 s, and from then on it has 0.2 s left.
    ready._clock.always, ready._clock.most_s = True, 39.7  # type: ignore[attr-defined]

    assert_shares(separated(ready, budget_s=20.0))

    (omission,) = ready.omissions
    assert omission.reason.startswith("it was not done in time; an earlier child process failed")


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs files in memory")
def test_a_child_needs_no_folder_for_temporary_files(
    isolate: Isolate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")

    assert_fake(separated(isolate("fine")))


def test_output_of_a_library_does_not_mix_with_messages(isolate: Isolate) -> None:
    assert_fake(separated(isolate("print")))


def test_errors_that_a_user_can_fix_are_raised_in_the_parent(isolate: Isolate) -> None:
    with pytest.raises(SongError, match=r"^a song that cannot be separated$"):
        separated(isolate("song error"))
    refused = isolate("refuse")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"^a recipe that cannot be built$"):
            separated(refused)


def test_a_song_that_is_refused_does_not_disturb_the_next(isolate: Isolate) -> None:
    ready = isolate("fine")
    bad = SONG.clone()
    bad[1, 2 * RATE_HZ] = np.nan

    with pytest.raises(SongError, match="got nan at sample 16000 of channel 1"):
        separated(ready, bad)
    with pytest.raises(SongError, match="at least one sample"):
        separated(ready, SONG[:, :0])

    assert_fake(separated(ready))


def test_a_song_that_is_abandoned_does_not_disturb_the_next(isolate: Isolate) -> None:
    ready = isolate("fine")
    deadline = Deadline(BUDGET_S, clock=ready._clock)
    next(ready.stream(cut(SONG), RATE_HZ, samples=SONG.shape[-1], deadline=deadline))

    assert_fake(separated(ready))


def test_a_child_that_is_lost_between_songs_is_replaced(isolate: Isolate) -> None:
    before = children()
    ready = isolate("fine")
    assert_fake(separated(ready))

    for pid in children() - before:
        os.kill(pid, 9)

    assert_fake(separated(ready))


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("not finite", "a NaN or an infinity"),
        ("too much", "more samples than it was given"),
        ("too little", "ended a song too early"),
    ],
)
def test_invalid_stems_are_not_passed_on(
    isolate: Isolate, caplog: pytest.LogCaptureFixture, behaviour: str, reason: str
) -> None:
    separated(isolate(behaviour), exact=False)

    assert reason in caplog.text


# Input of the child


EVERYTHING: dict[str, Any] = {
    "name": "everything",
    "track": "mdx",
    "summary": "",
    "members": [
        {
            "name": "first",
            "separator": "equal_shares",
            "outputs": {"vocals": ["a", "b"], "bass": ["c"]},
            "options": {"stems": ["a", "b", "c"], "deep": {"list": [1, [2.5, "x"]]}, "off": False},
            "settings": [
                {"passes": 1, "overlap": 0.0},
                {
                    "passes": 4,
                    "polarity": True,
                    "channel_swap": True,
                    "overlap": 0.1,
                    "gain_db": 1 / 3,
                },
            ],
        },
        {
            "separator": "hpss",
            "subtract": ["vocals"],
            "outputs": {"drums": ["percussive"], "other": ["harmonic"], "bass": ["low"]},
        },
    ],
    "blends": [
        {"stem": "bass", "weights": {"first": 0.1, "hpss": 2 / 3}, "mixture": 0.0, "sdr_db": 0.0},
        {"stem": "bass", "weights": {"hpss": 0}},
    ],
    "consistency": {"drums": 0.2, "other": 0.0},
    "gates": {"bass": {"midpoint_db": -35.1, "width_db": 4, "active_db": 0}},
}


@pytest.mark.parametrize(
    "given",
    [
        *map(reading.load, reading.names()),
        reading.parse("everything", EVERYTHING),
        reading.parse("test", TABLE),
    ],
    ids=lambda given: given.name,
)
def test_a_recipe_reaches_the_child_unchanged(given: Recipe) -> None:
    sent = json.loads(json.dumps(table(given)))

    assert reading.parse(given.name, table(given)) == given
    assert reading.parse(given.name, sent) == given


def test_without_limits_all_memory_is_free(tmp_path: Path) -> None:
    assert Memory(tmp_path).free_bytes() == float("inf")

    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 4000 kB\nMemAvailable: 3000 kB\n")

    assert Memory(tmp_path).free_bytes() == 3000 * 1024


# The real child


FILTERS: dict[str, Any] = {
    "track": "mdx",
    "summary": "Real members, for tests.",
    "residual": "vocals",
    "members": [
        {
            "separator": "hpss",
            "outputs": {"drums": ["percussive"], "bass": ["low"], "other": ["high"]},
            "options": {"crossover_hz": 200},
        },
        {"separator": "centre", "subtract": ["drums"], "outputs": {"bass": ["centre"]}},
    ],
}


def answers(*, isolate: bool) -> dict[str, Any]:
    song = 0.1 * np.random.default_rng(0).standard_normal((120_000, 2))
    predictor = Predictor(reading.parse("filters", FILTERS), isolate=isolate)
    stems, _ = predictor.separate_music_file(song, 44_100)
    assert not predictor.omissions
    return stems


def test_the_real_child_gives_the_same_stems_as_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEMIX_TIME_LIMIT", "none")
    before = children()
    alone, together = answers(isolate=True), answers(isolate=False)

    for stem in STEMS:
        np.testing.assert_array_equal(alone[stem], together[stem])
        assert np.abs(alone["vocals"] - alone[stem]).max() > 0.001 or stem == "vocals"
    assert children() <= before


def test_the_environment_decides_whether_there_is_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIX_ISOLATE", "maybe")
    with pytest.raises(ConfigError, match="DEMIX_ISOLATE to be 0 or 1, got 'maybe'"):
        Predictor(reading.load("mdx_silence"))
