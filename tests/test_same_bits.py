"""The same song gives the same samples, to the last bit, regardless of measured costs."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from demixing import separators
from demixing.audio import SongFormat
from demixing.engine.demixer import Demixer
from demixing.recipes import reading
from demixing.schedule import costs as costs_
from demixing.schedule.budget import Deadline
from demixing.schedule.costs import Cost
from demixing.schedule.timeout import Call
from demixing.separator import Chunking
from my_submission import predictor as predictor_
from my_submission.predictor import Predictor
from tests.fake_time import FakeTime

pytestmark = pytest.mark.engine

RATE_HZ = 16_000


def noise(channels: int, samples: int) -> Tensor:
    return 0.1 * torch.randn(channels, samples, generator=torch.Generator().manual_seed(0))


def separated(ready: Demixer, blocks: Sequence[Tensor], budget_s: float = math.inf) -> Tensor:
    samples = sum(block.shape[-1] for block in blocks)
    deadline = Deadline(budget_s, clock=FakeTime())
    stems = list(ready.stream(blocks, RATE_HZ, samples=samples, deadline=deadline))
    assert not ready.omissions
    return torch.cat(stems, dim=-1)


# Other measured costs


@dataclass
class Gain:
    """Returns the mixture times a factor that float32 cannot represent exactly."""

    gain: float
    chunking: Chunking = Chunking(chunk=5000, hop=4000, context=100)
    stems: tuple[str, ...] = ("part",)
    sample_rate_hz: None = None

    def separate(self, chunks: Tensor) -> Tensor:
        return self.gain * chunks[:, None]


GAINS = {"one": 0.1, "two": 0.7, "three": 1 / 3, "effect": 0.9}


def gains(names: Sequence[str]) -> Demixer:
    """Members for dialog in some order, and one for effects, which comes last."""
    entries: list[dict[str, Any]] = [
        {"name": name, "separator": "gain", "outputs": {"dialog": ["part"]}} for name in names
    ]
    effect = {"name": "effect", "separator": "gain", "outputs": {"effect": ["part"]}}
    blend = {"stem": "dialog", "weights": dict.fromkeys(names, 0.3), "mixture": 0.1}
    table = {
        "track": "cdx",
        "summary": "-",
        "residual": "music",
        "members": [*entries, effect],
        "blends": [blend],
    }
    queue = [Gain(GAINS[name]) for name in (*names, "effect")]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(separators, "build", lambda *_: queue.pop(0))
        ready = Demixer(reading.parse("test", table))
    ready._run = FakeTime().run
    return ready


def test_the_costs_of_members_do_not_change_the_stems() -> None:
    song = torch.split(noise(2, 30_000), 7000, dim=-1)
    form = SongFormat(sample_rate_hz=RATE_HZ, channels=2, frames=30_000)
    answers, priorities = [], set()

    for order in itertools.permutations((0.001, 0.002, 0.003, 0.004)):
        ready = gains(["one", "two", "three"])
        ready.costs = [Cost(chunk_s=chunk_s) for chunk_s in order]
        plan = ready.plan(form, budget_s=60)
        assert plan.planned == {0, 1, 2, 3}
        priorities.add(plan.priority)
        answers.append(separated(ready, song, budget_s=60))

    assert len(priorities) > 5
    assert all(torch.equal(answer, answers[0]) for answer in answers)


def test_another_order_of_members_would_change_the_stems() -> None:
    song = torch.split(noise(2, 30_000), 7000, dim=-1)

    first = separated(gains(["one", "two", "three"]), song)
    other = separated(gains(["three", "one", "two"]), song)

    assert not torch.equal(first, other)
    torch.testing.assert_close(first, other, rtol=0, atol=1e-6)


# Blocks, batches and threads


FILTERS: dict[str, Any] = {
    "track": "mdx",
    "summary": "-",
    "residual": "vocals",
    "members": [
        {
            "separator": "hpss",
            "outputs": {"drums": ["percussive"], "bass": ["low"], "other": ["high"]},
            "options": {
                "frame": 1024,
                "frame_hop": 256,
                "across_time": 11,
                "across_frequency": 11,
            },
        },
        {"separator": "centre", "subtract": ["drums"], "outputs": {"bass": ["centre"]}},
    ],
    "leaks": [
        {"of": "bass", "into": "drums", "power": 0.02, "returned": True},
        {"of": "bass", "into": "vocals", "power": 0.02},
    ],
}
NET: dict[str, Any] = {
    **FILTERS,
    "members": [
        {
            "separator": "trained",
            "outputs": {stem: [stem] for stem in ("drums", "bass", "other")},
            "options": {"weights": "mdx_unet"},
        },
        FILTERS["members"][1],
    ],
}


@functools.cache
def real(kind: str) -> Demixer:
    ready = Demixer(reading.parse(kind, {"filters": FILTERS, "net": NET}[kind]))
    ready._run = FakeTime().run
    return ready


@functools.cache
def expected(kind: str, seconds: float) -> Tensor:
    return separated(real(kind), [noise(4, round(seconds * RATE_HZ))])


@pytest.mark.parametrize(
    "lengths",
    [[1] * 20 + [79_980], [7_777] * 10 + [2_230], [1, 44_100, 2, 35_000, 897]],
    ids=["some of one sample", "many", "uneven"],
)
def test_blocks_of_any_size_give_the_same(lengths: list[int]) -> None:
    song = noise(4, 5 * RATE_HZ)

    stems = separated(real("filters"), torch.split(song, lengths, dim=-1))

    assert torch.equal(stems, expected("filters", 5))


def assert_alike(stems: Tensor, expected: Tensor) -> None:
    # They are equal on the CPUs that were tried, but a library may split its sums by the number
    # of threads or of chunks: three threads differ by 1e-11 from one.
    torch.testing.assert_close(stems, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["filters", "net"])
@pytest.mark.parametrize("batch", [2, 5])
def test_batches_of_any_size_give_the_same(kind: str, batch: int) -> None:
    ready, single = real(kind), expected(kind, 2.5)
    kept = ready.costs
    ready.costs = [dataclasses.replace(cost, batch=batch) for cost in kept]
    try:
        stems = separated(ready, [noise(4, 5 * RATE_HZ // 2)])
    finally:
        ready.costs = kept

    assert_alike(stems, single)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", ["filters", "net"])
def test_two_threads_give_the_same_as_one(kind: str, request: pytest.FixtureRequest) -> None:
    single = expected(kind, 2.5)
    request.getfixturevalue("two_threads")

    stems = separated(real(kind), [noise(4, 5 * RATE_HZ // 2)])

    assert_alike(stems, single)


# One song after the other


class Unsteady(FakeTime):
    """Time in which no two calls cost the same."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)

    def run(self, call: Call, timeout_s: float) -> Tensor:
        def costly() -> Tensor:
            self.cost_s += self.rng.lognormal()
            return call()

        return super().run(costly, timeout_s)


@pytest.mark.parametrize("seed", range(3))
def test_a_predictor_gives_the_same_stems_at_any_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    monkeypatch.setenv("DEMIX_COSTS", str(tmp_path / "costs.json"))  # not those measured by others
    clock = Unsteady(seed)
    monkeypatch.setattr(predictor_, "Deadline", lambda limit_s: Deadline(limit_s, clock=clock))
    monkeypatch.setattr(predictor_, "Contention", lambda: None)  # of this machine, not of the clock
    monkeypatch.setattr(costs_, "measure", lambda *_, **__: Cost(chunk_s=1.0))
    ready = Predictor(reading.parse("filters", FILTERS))
    assert isinstance(ready._demixer, Demixer)
    ready._demixer._run = clock.run
    song, other = noise(2, 30_000).T.numpy(), noise(2, 20_000).T.numpy()
    measured = set()

    answers = []
    for one in (song, song, other, song):
        answers.append(ready.separate_within(1000, one, RATE_HZ)[0])
        assert not ready.omissions
        measured.add(tuple(cost.chunk_s for cost in ready._demixer.costs))

    assert len(measured) == 4
    for stem, first in answers[0].items():
        np.testing.assert_array_equal(answers[1][stem], first)
        np.testing.assert_array_equal(answers[3][stem], first)
