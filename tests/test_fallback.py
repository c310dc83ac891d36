"""However a member fails, a song gets stems of the right shape in time."""

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from demixing import separators
from demixing.audio import SongFormat
from demixing.engine.demixer import Demixer
from demixing.engine.tidying import Tidying
from demixing.errors import CheckpointError
from demixing.recipes import reading
from demixing.schedule import costs
from demixing.schedule.budget import Clock, Deadline
from demixing.schedule.costs import Cost
from demixing.schedule.fallback import MAX_FAILURES, Fallback
from demixing.schedule.timeout import LateError, TimeoutRunner
from demixing.separator import Chunking
from my_submission.predictor import Predictor
from tests.fake_time import FakeTime

SONG = 0.1 * torch.randn(2, 60_000, generator=torch.Generator().manual_seed(0))


STANDING = FakeTime()


@dataclass
class Faulty:
    """Its first stem is the mixture and the others are silent, unless ``trouble`` intervenes."""

    trouble: Callable[[Tensor], Tensor | None] = lambda chunks: None
    stems: tuple[str, ...] = ("all", "nothing")
    sample_rate_hz: None = None
    chunking: Chunking = field(default_factory=lambda: Chunking(chunk=5000, hop=4000, context=100))
    calls: int = 0

    def separate(self, chunks: Tensor) -> Tensor:
        self.calls += 1
        answer = self.trouble(chunks)
        return torch.stack([chunks, 0 * chunks], dim=1) if answer is None else answer


def raises(kind: type[BaseException]) -> Callable[[Tensor], Tensor]:
    def trouble(chunks: Tensor) -> Tensor:
        raise kind("boom")

    return trouble


def full_memory(chunks: Tensor) -> None:
    if len(chunks) > 1:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 1 TB")


TABLE = {
    "track": "cdx",
    "summary": "-",
    "residual": "music",
    "members": [
        {"separator": "first", "outputs": {"dialog": ["all"]}},
        {"separator": "second", "subtract": ["dialog"], "outputs": {"effect": ["all"]}},
    ],
}


@pytest.fixture
def demixer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Demixer]:
    def make(*built: Any) -> Demixer:
        queue = list(built)
        monkeypatch.setattr(separators, "build", lambda *_: queue.pop(0))
        return Demixer(reading.parse("test", TABLE), forgiving=True)

    return make


def separated(ready: Demixer, budget_s: float = math.inf, clock: Clock = STANDING) -> Tensor:
    stream = ready.stream(
        torch.split(SONG, 7000, dim=-1),
        44_100,
        samples=SONG.shape[-1],
        deadline=Deadline(budget_s, clock=clock),
    )
    return torch.cat(list(stream), dim=-1)


def test_without_faults_the_fallback_changes_nothing(demixer: Callable[..., Demixer]) -> None:
    stems = separated(demixer(Faulty(), Faulty()))

    torch.testing.assert_close(stems[0], SONG, rtol=0, atol=2e-6)


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("budget_s", [None, math.inf])
def test_silence_is_separated_if_the_separator_answers_it(
    demixer: Callable[..., Demixer], budget_s: float | None, answers: bool
) -> None:
    noisy = Faulty(lambda chunks: torch.stack([chunks + 1, chunks], dim=1))
    noisy.answers_silence = answers  # type: ignore[attr-defined]
    deadline = None if budget_s is None else Deadline(budget_s, clock=STANDING)

    stream = demixer(noisy, Faulty()).stream(
        [torch.zeros(2, 9000)], 44_100, samples=9000, deadline=deadline
    )

    expected = torch.full((2, 9000), float(answers))
    torch.testing.assert_close(torch.cat(list(stream), dim=-1)[0], expected)


FAULTS = {
    "an exception": raises(ValueError),
    "an exit": raises(SystemExit),
    "a NaN": lambda chunks: torch.full((len(chunks), 2, *chunks.shape[1:]), torch.nan),
    "one infinity": lambda chunks: torch.full((len(chunks), 2, *chunks.shape[1:]), torch.inf),
    "a wrong shape": lambda chunks: chunks,
    "no memory at all": raises(MemoryError),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("member", [0, 1])
def test_a_fault_of_any_member_leaves_shares_of_the_mixture(
    demixer: Callable[..., Demixer],
    fault: Callable[[Tensor], Tensor],
    member: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    members = [Faulty(), Faulty()]
    members[member].trouble = fault

    with caplog.at_level(logging.WARNING):
        stems = separated(demixer(*members))

    assert stems.shape == (3, *SONG.shape)
    assert torch.isfinite(stems).all()
    # If the first member works, it takes all of the mixture and leaves nothing to the second.
    share = SONG / 3 if member == 0 else SONG
    torch.testing.assert_close(stems[0], share, rtol=0, atol=2e-6)
    torch.testing.assert_close(stems.sum(dim=0), SONG, rtol=0, atol=2e-6)
    assert len(caplog.records) <= 1
    assert members[member].calls <= MAX_FAILURES


def test_a_member_that_recovers_is_used_again(demixer: Callable[..., Demixer]) -> None:
    def every_other(chunks: Tensor) -> None:
        if first.calls % 2:
            raise ValueError("boom")

    first = Faulty(every_other)
    stems = separated(demixer(first, Faulty()))

    assert first.calls > MAX_FAILURES
    assert torch.isfinite(stems).all()


def test_if_memory_runs_out_smaller_batches_are_tried(demixer: Callable[..., Demixer]) -> None:
    ready = demixer(Faulty(full_memory), Faulty())
    form = SongFormat(sample_rate_hz=44_100, channels=1, frames=60_000)
    plan = ready.plan(form, budget_s=math.inf)
    workload = ready.workload(form)
    budget = workload.budget(plan, Deadline(math.inf, clock=STANDING))
    task = ready._scheduled(plan, workload, budget)[0].task
    assert task
    assert isinstance(task.source, Tidying)
    fallback = task.source.source
    assert isinstance(fallback, Fallback)
    fallback.batch = 5
    chunks = SONG[None, :, :5000].repeat(5, 1, 1)

    answer = fallback.answer(chunks)

    torch.testing.assert_close(answer.stems[:, 0], chunks)
    assert answer.valid is not None
    assert bool((answer.valid == 1).all())


@dataclass
class Short(Faulty):
    """Has memory for chunks of at most ``most`` samples, or on the CPU for all."""

    chunking: Chunking = field(
        default_factory=lambda: Chunking(chunk=5000, hop=4000, context=100, shorter=(3000, 1000))
    )
    most: int = 0
    lengths: list[int] = field(default_factory=list)

    def separate(self, chunks: Tensor) -> Tensor:
        self.lengths.append(chunks.shape[-1])
        if chunks.shape[-1] > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return super().separate(chunks)


class OnGpu(Short):
    def to_cpu(self) -> None:
        self.most = 5000


@pytest.mark.parametrize("most", [3000, 1000])
def test_if_memory_runs_out_shorter_chunks_are_tried(
    demixer: Callable[..., Demixer], most: int, caplog: pytest.LogCaptureFixture
) -> None:
    short = Short(most=most)

    stems = separated(demixer(short, Faulty()))

    torch.testing.assert_close(stems[0], SONG, rtol=0, atol=4e-6)
    assert short.lengths.count(5000) == 1, "what failed once is not tried again"
    assert f"its chunks are cut to {most} samples" in caplog.text


def test_if_nothing_else_helps_the_cpu_is_used(
    demixer: Callable[..., Demixer], caplog: pytest.LogCaptureFixture
) -> None:
    stems = separated(demixer(OnGpu(), Faulty()))

    torch.testing.assert_close(stems[0], SONG, rtol=0, atol=4e-6)
    assert "it continues without the GPU" in caplog.text


def test_without_any_memory_a_member_is_given_up(demixer: Callable[..., Demixer]) -> None:
    stems = separated(demixer(Short(), Faulty()))

    torch.testing.assert_close(stems[0], SONG / 3, rtol=0, atol=4e-6)
    assert torch.isfinite(stems).all()


def test_a_member_that_hangs_is_abandoned(
    demixer: Callable[..., Demixer], caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeTime()

    def hang(chunks: Tensor) -> None:
        clock.cost_s = math.inf

    first, second = Faulty(hang), Faulty()
    ready = demixer(first, second)
    ready._run = clock.run
    stems = separated(ready, budget_s=10, clock=clock)

    assert clock.now_s < 10, "the other one had time left"
    assert first.calls == 1, "it must not be called again"
    assert second.calls > 1
    assert "first: late" in caplog.text
    torch.testing.assert_close(stems.sum(dim=0), SONG, rtol=0, atol=2e-6)
    torch.testing.assert_close(stems[0], SONG / 3, rtol=0, atol=2e-6)


def test_missing_weights_are_logged_and_not_fatal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(name: str, options: object = None) -> Any:
        if name == "spleeter":
            raise CheckpointError("no weights")
        return real(name, options)

    real: Any = separators.build
    monkeypatch.setattr(separators, "build", missing)
    monkeypatch.setattr(costs, "measure", lambda *_, **__: Cost())
    monkeypatch.setenv("DEMIX_TIME_LIMIT", "none")
    predictor = Predictor(reading.load("mdx_filters"))

    stems, _ = predictor.separate_music_file(SONG.T.double().numpy(), 44_100)

    assert "spleeter is left out: no weights" in caplog.text
    np.testing.assert_allclose(stems["vocals"], SONG.T / 4, rtol=0, atol=1e-6)
    assert all(np.isfinite(stem).all() and stem.any() for stem in stems.values())
    assert [str(one) for one in predictor.omissions] == [
        "the whole song without spleeter (no weights)"
    ]


def test_missing_weights_are_an_error_unless_the_demixer_is_forgiving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*_: object) -> Any:
        raise CheckpointError("no weights")

    monkeypatch.setattr(separators, "build", missing)

    with pytest.raises(CheckpointError, match="no weights"):
        Demixer(reading.load("mdx_default"))


def test_a_timeout_runner_raises_errors_and_continues() -> None:
    runner = TimeoutRunner()

    def fails() -> Tensor:
        raise KeyError("key")

    with pytest.raises(KeyError, match="key"):
        runner(fails, math.inf)

    assert runner(lambda: torch.ones(1), math.inf) == 1


def test_a_timeout_runner_continues_after_a_call_that_hangs() -> None:
    before = set(threading.enumerate())
    runner, end = TimeoutRunner(), threading.Event()
    assert set(threading.enumerate()) == before, "a thread before it is needed"
    runner(lambda: torch.ones(1), math.inf)
    (thread,) = set(threading.enumerate()) - before

    with pytest.raises(LateError, match=r"no output within 0\.0 s"):
        runner(lambda: torch.tensor(end.wait()), 0.01)

    assert runner(lambda: torch.ones(1), math.inf) == 1, "in another thread"
    assert thread.is_alive()
    end.set()
    thread.join()


def test_the_thread_of_a_timeout_runner_ends_with_it() -> None:
    before = set(threading.enumerate())
    runner = TimeoutRunner()
    runner(lambda: torch.ones(1), math.inf)
    (thread,) = set(threading.enumerate()) - before

    del runner
    thread.join(60)

    assert not thread.is_alive()
