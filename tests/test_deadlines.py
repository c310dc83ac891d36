"""Many songs in fake time: all are on time with all their stems, and the time is well used."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from demixing import separators
from demixing.engine.demixer import Demixer
from demixing.recipes import reading
from demixing.schedule.budget import Deadline, TimeBudget
from demixing.schedule.costs import Cost
from demixing.separator import Chunking
from tests.fake_time import FakeTime

USE = 0.85
"""Part of the budget that songs must use on average if there was not enough time for them."""


@dataclass
class Member:
    """Its first stem is the mixture, it has a random cost, and it sometimes fails."""

    clock: FakeTime
    rng: np.random.Generator
    mean_s: float
    kind: str
    chunking: Chunking
    stems: tuple[str, ...] = ("all", "nothing")
    sample_rate_hz: int | None = None
    often: float = field(init=False)
    spread: float = field(init=False)

    def __post_init__(self) -> None:
        self.often, self.spread = self.rng.uniform(0, 0.3), self.rng.uniform(0, 0.4)

    def separate(self, chunks: Tensor) -> Tensor:
        self.clock.cost_s += self.mean_s * self.rng.lognormal(0, self.spread) * len(chunks)
        if self.kind != "steady" and self.rng.random() < self.often:
            if self.kind == "hang":
                self.clock.cost_s = math.inf
            elif self.kind == "crash":
                raise RuntimeError("crash")
            elif self.kind == "memory" and chunks.shape[-1] == self.chunking.chunk:
                raise MemoryError
            elif self.kind == "nan":
                return torch.full((len(chunks), 2, *chunks.shape[1:]), torch.nan)
        return torch.stack([chunks, 0 * chunks], dim=1)


def random_chunking(rng: np.random.Generator) -> Chunking:
    chunk, context = int(rng.integers(200, 900)), int(rng.integers(0, 30))
    hop = int(rng.uniform(0.5, 1) * (chunk - 2 * context))
    return Chunking(chunk=chunk, hop=hop, context=context, shorter=(chunk // 2,))


def random_demixer(rng: np.random.Generator, clock: FakeTime) -> Demixer:
    """Two to five members for two stems; the costs of most are known, but not accurately."""
    kinds = ["steady", "steady", "hang", "crash", "nan", "memory"]
    built: list[Member] = []
    entries: list[dict[str, Any]] = []
    costs = []
    for number in range(max(int(rng.integers(1, 6)), 2)):
        mean_s = float(10 ** rng.uniform(-2, 0.3))
        built.append(Member(clock, rng, mean_s, rng.choice(kinds), random_chunking(rng)))
        known = rng.random() < 0.7
        costs.append(Cost(chunk_s=mean_s * rng.uniform(0.5, 2)) if known else Cost())
        stem = "effect" if number % 2 else "dialog"
        entry: dict[str, Any] = {
            "name": f"m{number}",
            "separator": "fake",
            "outputs": {stem: ["all"]},
        }
        entry["subtract"] = ["dialog"] if stem == "effect" and rng.random() < 0.5 else []
        if rng.random() < 0.3:
            more = {"passes": int(rng.integers(2, 4)), "gain_db": 0.1, "polarity": True}
            entry["settings"] = [{"passes": 1}, more]
        entries.append(entry)
    table = {"track": "cdx", "summary": "-", "residual": "music", "members": entries}
    with pytest.MonkeyPatch.context() as monkeypatch:
        queue = list(built)
        monkeypatch.setattr(separators, "build", lambda *_: queue.pop(0))
        ready = Demixer(reading.parse("test", table), forgiving=True)
    ready._run = clock.run
    ready.costs = costs
    return ready


def simulated(seed: int, lacked: Callable[[], bool]) -> tuple[float, float, bool]:
    """Separate a song of ones; return the time used, the budget, and whether time was short."""
    rng = np.random.default_rng(seed)
    clock = FakeTime()
    ready = random_demixer(rng, clock)
    budget_s, samples = rng.uniform(1.5, 30), int(rng.integers(1500, 7500))
    blocks = torch.split(torch.ones(2, samples), 3000, dim=-1)
    deadline = Deadline(budget_s, clock=clock)

    stems = torch.cat(list(ready.stream(blocks, 44_100, samples=samples, deadline=deadline)), -1)

    assert clock.now_s <= budget_s + 1e-6
    assert stems.shape == (3, 2, samples)
    assert torch.isfinite(stems).all()
    torch.testing.assert_close(stems.sum(dim=0), torch.ones(2, samples), rtol=0, atol=1e-4)
    return clock.now_s, budget_s, lacked()


@pytest.mark.engine
@pytest.mark.parametrize(
    "songs", [50, pytest.param(300, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_songs_are_in_time_and_use_their_time(monkeypatch: pytest.MonkeyPatch, songs: int) -> None:
    refused = []
    allows = TimeBudget.allows

    def noted(self: TimeBudget, turn: int, chunks: int) -> bool:
        allowed = allows(self, turn, chunks)
        refused.append(not allowed)
        return allowed

    def lacked() -> bool:
        result = any(refused)
        refused.clear()
        return result

    monkeypatch.setattr(TimeBudget, "allows", noted)

    found = [simulated(seed, lacked) for seed in range(songs)]

    short = [used_s / budget_s for used_s, budget_s, lacked_ in found if lacked_]
    assert len(short) > 0.3 * songs, "too few songs were short of time"
    assert np.mean(short) >= USE
