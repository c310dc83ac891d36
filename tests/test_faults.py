"""Each kind of fault in each real member of the default recipes: there are always stems."""

import dataclasses
import functools
import json
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from demixing import separators
from demixing.audio import SongFormat
from demixing.engine.demixer import Demixer
from demixing.engine.normalisation import SongStatistics
from demixing.engine.tidying import Tidying
from demixing.errors import CheckpointError
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe
from demixing.schedule.budget import Clock, Deadline
from demixing.schedule.fallback import Fallback
from demixing.separator import Separator
from tests.fake_time import FakeTime
from tests.plain import once, shipped

pytestmark = pytest.mark.engine

RATE_HZ = 44_100
# So short that members get their shortest chunks.
SONG = 0.1 * torch.randn(2, 5 * RATE_HZ // 2, generator=torch.Generator().manual_seed(0))
FORM = SongFormat(sample_rate_hz=RATE_HZ, channels=2, frames=SONG.shape[-1])
STANDING = FakeTime()
RECIPES = ("mdx_default", "cdx_default")
MEMBERS = [
    pytest.param(name, index, id=f"{name}: {member.name}")
    for name in RECIPES
    for index, member in enumerate(shipped(name).members)
]

Answers = dict[tuple[Any, ...], Tensor]


def kinds(key: Callable[[Member], str]) -> list[Any]:
    """One member of each kind of separator."""
    found: dict[str, Any] = {}
    for param in MEMBERS:
        name, index = param.values
        found.setdefault(key(shipped(str(name)).members[int(str(index))]), param)
    return list(found.values())


@dataclass
class Injected:
    """A real member with a fault: ``trouble`` may raise, wait, or return stems in its place."""

    inner: Separator
    answers: Answers
    trouble: Callable[[Tensor, Separator], Tensor | None] = lambda chunks, inner: None
    lengths: list[int] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def separate(self, chunks: Tensor) -> Tensor:
        self.lengths.append(chunks.shape[-1])
        answer = self.trouble(chunks, self.inner)
        return self.remembered(chunks) if answer is None else answer

    def remembered(self, chunks: Tensor) -> Tensor:
        """The member's output, from a cache: most tests use the same chunks."""
        key = (chunks.shape, hash(chunks.numpy().tobytes()))
        if key not in self.answers:
            with torch.inference_mode():
                self.answers[key] = self.inner.separate(chunks)
        return self.answers[key]


def kind(member: Member) -> str:
    """A key: members with the same key have the same output."""
    return json.dumps([member.separator, member.options], sort_keys=True)


@functools.cache
def built(kind: str) -> tuple[Separator, Answers]:
    """A real separator, which members share, and its cached outputs."""
    name, options = json.loads(kind)
    return BUILD(name, options), {}


BUILD = separators.build


@functools.cache
def members(name: str) -> list[Injected]:
    """The real members of a recipe, without faults."""
    return [Injected(*built(kind(member))) for member in shipped(name).members]


def plain(name: str) -> Recipe:
    """A recipe without the leakage filter, which takes longer than the members here."""
    return dataclasses.replace(once(name), leaks=())


@pytest.fixture
def demixer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Demixer]]:
    used: list[Injected] = []

    def make(name: str, **troubles: Any) -> Demixer:
        used.extend(members(name))
        for index, trouble in troubles.items():
            members(name)[int(index[1:])].trouble = trouble
        queue: list[Any] = list(members(name))
        monkeypatch.setattr(separators, "build", lambda *_: queue.pop(0))
        # Members with the same weights would share the first one's stand-in.
        monkeypatch.setattr("demixing.engine.demixer._has_weights", lambda _: False)
        return Demixer(plain(name), forgiving=True)

    yield make
    for member in used:
        member.trouble = Injected(member.inner, {}).trouble
        member.lengths.clear()


def separated(ready: Demixer, budget_s: float = math.inf, clock: Clock = STANDING) -> Tensor:
    deadline = Deadline(budget_s, clock=clock)
    blocks = torch.split(SONG, 100_000, dim=-1)
    stream = ready.stream(
        blocks,
        RATE_HZ,
        samples=SONG.shape[-1],
        deadline=deadline,
        statistics=SongStatistics.of(blocks),
    )
    stems = torch.cat(list(stream), dim=-1)
    assert stems.shape == (len(ready.recipe.track.stems), *SONG.shape)
    assert torch.isfinite(stems).all()
    assert deadline.remaining_s > 0
    return stems


@functools.cache
def without_fault(name: str) -> Tensor:
    queue: list[Any] = list(members(name))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(separators, "build", lambda *_: queue.pop(0))
        ready = Demixer(plain(name), forgiving=True)
    stems = separated(ready)
    assert not ready.omissions
    return stems


def omitted(ready: Demixer) -> list[tuple[str, float]]:
    return [(one.member, one.part) for one in ready.omissions]


def raises(kind: type[BaseException]) -> Callable[..., Tensor]:
    def trouble(chunks: Tensor, inner: Separator) -> Tensor:
        raise kind("boom")

    return trouble


def filled(value: float) -> Callable[..., Tensor]:
    return lambda chunks, inner: torch.full(
        (len(chunks), len(inner.stems), *chunks.shape[1:]), value
    )


FAULTS = {
    "an exception": raises(ValueError),
    "an exit": raises(SystemExit),
    "no memory at all": raises(MemoryError),
    "a NaN": filled(torch.nan),
    "an infinity": filled(torch.inf),
    "a wrong shape": lambda chunks, inner: chunks,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize(("name", "index"), MEMBERS)
def test_other_members_work_if_one_fails(
    demixer: Callable[..., Demixer],
    name: str,
    index: int,
    fault: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = without_fault(name)
    ready = demixer(name, **{f"m{index}": fault})

    with caplog.at_level(logging.WARNING):
        stems = separated(ready)

    assert not torch.allclose(stems, expected), "the member was not called"
    lines = [record.getMessage() for record in caplog.records]
    assert lines
    assert len(lines) == len(set(lines)), "logged more than once"
    assert all(line.startswith(f"{ready.recipe.members[index].name}: ") for line in lines)
    assert omitted(ready) == [(ready.recipe.members[index].name, 1.0)]


def fallback_of(ready: Demixer, index: int) -> Fallback:
    """The fallback of one member of a song with a deadline, for batches of three chunks."""
    plan, workload = ready.plan(FORM, budget_s=math.inf), ready.workload(FORM)
    budget = workload.budget(plan, Deadline(math.inf, clock=STANDING))
    task = ready._scheduled(plan, workload, budget)[index].task
    assert task
    assert isinstance(task.source, Tidying)
    assert isinstance(task.source.source, Fallback)
    task.source.source.batch = 3
    return task.source.source


@pytest.mark.parametrize(("name", "index"), kinds(kind))
def test_members_continue_with_smaller_batches_if_memory_is_short(
    demixer: Callable[..., Demixer], name: str, index: int
) -> None:
    def full(chunks: Tensor, inner: Separator) -> None:
        if len(chunks) > 1:
            raise MemoryError

    fallback = fallback_of(demixer(name, **{f"m{index}": full}), index)
    length = fallback.inner.chunking.fitted(SONG.shape[-1]).chunk
    together = F.pad(SONG, (0, length))[None, :, :length].repeat(3, 1, 1)

    answer = fallback.answer(together)

    alone = members(name)[index].remembered(together[:1])
    torch.testing.assert_close(answer.stems, alone.expand_as(answer.stems))
    assert answer.valid is not None
    assert bool((answer.valid == 1).all())
    assert fallback.missing == 0


@pytest.mark.parametrize(("name", "index"), kinds(lambda member: member.separator))
def test_members_continue_with_shorter_chunks_if_memory_is_shorter(
    demixer: Callable[..., Demixer], name: str, index: int
) -> None:
    member = members(name)[index]
    whole = member.chunking.chunk

    def full(chunks: Tensor, inner: Separator) -> None:
        if chunks.shape[-1] >= whole:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    fallback = fallback_of(demixer(name, **{f"m{index}": full}), index)
    chunk = 0.1 * torch.randn(1, 2, whole, generator=torch.Generator().manual_seed(1))

    answer = fallback.answer(chunk)

    if not member.chunking.shorter:
        assert fallback.missing == 1
        return
    assert fallback.missing == 0
    assert min(member.lengths) < whole
    expected = member.remembered(chunk)[:, 0]
    error = (answer.stems[:, 0] - expected).norm() / (chunk / 3 - expected).norm()
    assert error < 0.5, "shorter chunks give nearly the same answer, unlike shares of the mixture"


@pytest.mark.parametrize(("name", "index"), MEMBERS)
def test_other_members_have_time_if_one_hangs(
    demixer: Callable[..., Demixer], name: str, index: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeTime()

    def hang(chunks: Tensor, inner: Separator) -> None:
        clock.cost_s = math.inf

    ready = demixer(name, **{f"m{index}": hang})
    ready._run = clock.run
    with caplog.at_level(logging.WARNING):
        separated(ready, budget_s=4, clock=clock)

    assert clock.now_s > 0
    assert omitted(ready) == [(ready.recipe.members[index].name, 1.0)]
    assert [record.getMessage() for record in caplog.records] == [
        f"{ready.recipe.members[index].name}: late"
    ]


@pytest.mark.parametrize(("name", "index"), MEMBERS)
def test_a_member_without_its_weights_is_left_out(
    monkeypatch: pytest.MonkeyPatch, name: str, index: int, caplog: pytest.LogCaptureFixture
) -> None:
    expected = without_fault(name)
    queue = list(enumerate(members(name)))

    def build(*_: Any) -> Injected:
        number, member = queue.pop(0)
        if number == index:
            raise CheckpointError("no weights")
        return member

    monkeypatch.setattr(separators, "build", build)
    monkeypatch.setattr("demixing.engine.demixer._has_weights", lambda _: False)
    with caplog.at_level(logging.WARNING):
        ready = Demixer(plain(name), forgiving=True)
        stems = separated(ready)

    assert not torch.allclose(stems, expected)
    member = shipped(name).members[index].name
    assert [record.getMessage() for record in caplog.records] == [
        f"{member} is left out: no weights"
    ]
    assert omitted(ready) == [(member, 1.0)]
