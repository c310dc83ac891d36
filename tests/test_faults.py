"""Each fault of the ladder, in each real member of the default recipes: always an answer."""

import functools
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from my_submission import recipe, separators
from my_submission.budget import Deadline
from my_submission.demixer import Demixer
from my_submission.errors import CheckpointError
from my_submission.level import Level
from my_submission.process.isolation import Isolated
from my_submission.separators import Separator

RATE_HZ = 44_100
SONG = 0.1 * torch.randn(2, 7 * RATE_HZ, generator=torch.Generator().manual_seed(0))
SLOW = Path(__file__).with_name("slow_worker.py")
RECIPES = ("mdx_default", "cdx_default")
MEMBERS = [
    pytest.param(name, index, id=f"{name}: {member.name}")
    for name in RECIPES
    for index, member in enumerate(recipe.load(name).members)
]


@dataclass
class Injected:
    """A real member with a fault: ``trouble`` may raise, wait, or answer in its place."""

    inner: Separator
    trouble: Callable[[Tensor, Separator], Tensor | None] = lambda chunks, inner: None
    answers: dict[tuple[Any, ...], Tensor] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def separate(self, chunks: Tensor) -> Tensor:
        self.lengths.append(chunks.shape[-1])
        answer = self.trouble(chunks, self.inner)
        return self.remembered(chunks) if answer is None else answer

    def remembered(self, chunks: Tensor) -> Tensor:
        """What the member answers; most tests ask it for the same."""
        key = (chunks.shape, hash(chunks.numpy().tobytes()))
        if key not in self.answers:
            self.answers[key] = self.inner.separate(chunks)
        return self.answers[key]


@functools.cache
def members(name: str) -> list[Injected]:
    """The real members of a recipe, without faults."""
    return [Injected(separators.build(m.separator, m.options)) for m in recipe.load(name).members]


@pytest.fixture
def demixer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Demixer]]:
    used: list[Injected] = []

    def make(name: str, **troubles: Any) -> Demixer:
        used.extend(members(name))
        for index, trouble in troubles.items():
            members(name)[int(index[1:])].trouble = trouble
        queue: list[Any] = list(members(name))
        monkeypatch.setattr(separators, "build", lambda *_: queue.pop(0))
        return Demixer(recipe.load(name), forgiving=True)

    yield make
    for member in used:
        member.trouble = Injected(member.inner).trouble
        member.lengths.clear()


def separated(ready: Any, budget_s: float = 600) -> Tensor:
    deadline = Deadline(budget_s)
    blocks = torch.split(SONG, 100_000, dim=-1)
    stream = ready.stream(
        blocks, RATE_HZ, samples=SONG.shape[-1], deadline=deadline, level=Level.of(blocks)
    )
    stems = torch.cat(list(stream), dim=-1)
    assert stems.shape == (len(ready.recipe.track.stems), *SONG.shape)
    assert torch.isfinite(stems).all()
    assert deadline.remaining_s > 0
    return stems


@functools.cache
def without_fault(name: str) -> Tensor:
    ready = Demixer(recipe.load(name), forgiving=True)
    ready._separators = list(members(name))
    return separated(ready)


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
def test_others_answer_for_a_member_that_fails(
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

    assert not torch.allclose(stems, expected), "the member was not asked"
    lines = [record.getMessage() for record in caplog.records]
    assert lines
    assert len(lines) == len(set(lines)), "said more than once"
    assert all(line.startswith(f"{ready.recipe.members[index].name}: ") for line in lines)


@pytest.mark.parametrize(("name", "index"), MEMBERS)
def test_members_go_on_in_smaller_batches_where_memory_is_short(
    demixer: Callable[..., Demixer], name: str, index: int
) -> None:
    def full(chunks: Tensor, inner: Separator) -> None:
        if len(chunks) > 1:
            raise MemoryError

    ready = demixer(name, **{f"m{index}": full})
    guard = ready._guard(plan := plan_of(ready), Deadline(600), SONG.shape[-1], RATE_HZ, 1)
    careful = ready._turns(plan, guard)[plan.order.index(index)].separator
    assert careful is not None
    chunk = careful.chunking.chunk
    together = torch.nn.functional.pad(SONG, (0, 15 * RATE_HZ))[None, :, :chunk].repeat(3, 1, 1)

    stems = careful.separate(together)

    alone = members(name)[index].remembered(together[:1])
    torch.testing.assert_close(stems[:, :-1], alone.expand_as(stems[:, :-1]))
    assert bool((stems[:, -1] == 1).all())


def plan_of(ready: Demixer) -> Any:
    return ready.plan(SONG.shape[-1], RATE_HZ, 1, budget_s=600)


@pytest.mark.parametrize(("name", "index"), MEMBERS)
def test_members_go_on_with_shorter_chunks_where_memory_is_shorter(
    demixer: Callable[..., Demixer], name: str, index: int
) -> None:
    whole = members(name)[index].chunking.chunk

    def full(chunks: Tensor, inner: Separator) -> None:
        if chunks.shape[-1] >= whole:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    expected = without_fault(name)
    stems = separated(demixer(name, **{f"m{index}": full}))

    member = members(name)[index]
    if member.chunking.shorter:
        assert min(member.lengths) < whole
        stem = next(iter(recipe.load(name).members[index].gives))
        at = recipe.load(name).track.stems.index(stem)
        share = SONG / len(stems)
        error = (stems[at] - expected[at]).norm() / (share - expected[at]).norm()
        assert error < 0.5, "shorter chunks answer much the same, and nothing like a share"


@pytest.mark.parametrize(("name", "index"), MEMBERS)
def test_nobody_waits_for_a_member_that_hangs(
    demixer: Callable[..., Demixer], name: str, index: int, caplog: pytest.LogCaptureFixture
) -> None:
    without_fault(name)  # now the others answer at once
    released = threading.Event()

    def hang(chunks: Tensor, inner: Separator) -> None:
        released.wait(60)

    ready = demixer(name, **{f"m{index}": hang})
    try:
        with caplog.at_level(logging.WARNING):
            separated(ready, budget_s=4)
    finally:
        released.set()

    assert f"{ready.recipe.members[index].name}: " in caplog.text


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
    with caplog.at_level(logging.WARNING):
        stems = separated(Demixer(recipe.load(name), forgiving=True))

    assert not torch.allclose(stems, expected)
    assert [record.getMessage() for record in caplog.records] == [
        f"{recipe.load(name).members[index].name} is left out: no weights"
    ]


@pytest.mark.parametrize(("name", "index"), MEMBERS)
def test_nobody_waits_for_a_member_that_starts_slowly(name: str, index: int) -> None:
    ready = Isolated(recipe.load(name), command=(sys.executable, str(SLOW), str(index)))
    # Building it takes an hour, and nothing of this process is waiting for that.
    stems = separated(ready, budget_s=1.5)
    ready._end()

    assert stems.abs().sum() > 0
