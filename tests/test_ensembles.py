"""Several members for one stem: at each sample, the stem is the blend of the valid ones."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from demixing import separators
from demixing.engine.demixer import Demixer
from demixing.recipes import reading
from demixing.schedule.budget import Deadline
from demixing.separator import Chunking

SONG = 0.1 * torch.randn(2, 60_000, generator=torch.Generator().manual_seed(0))
PAIR = [
    {"stem": "dialog", "weights": {"one": 0.5, "two": 0.3}, "mixture": 0.1},
    {"stem": "dialog", "weights": {"one": 0.7}},
    {"stem": "dialog", "weights": {"two": 0.9}, "mixture": -0.2},
]


@dataclass
class Gain:
    """Returns the mixture times a factor; fails in given chunks."""

    gain: float
    fails: Callable[[int], bool] = lambda call: False
    sample_rate_hz: int | None = None
    chunking: Chunking = field(default_factory=lambda: Chunking(chunk=5000, hop=4000, context=100))
    stems: tuple[str, ...] = ("part",)
    calls: int = 0

    def separate(self, chunks: Tensor) -> Tensor:
        self.calls += 1
        if self.fails(self.calls):
            raise RuntimeError("boom")
        return self.gain * chunks[:, None]


@pytest.fixture
def stems_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tensor]:
    def separate(
        *members: Gain, guarded: bool = True, rest: dict[str, Any] | None = None
    ) -> Tensor:
        dialog = {"separator": "gain", "outputs": {"dialog": ["part"]}}
        effect = {"separator": "gain", "name": "effect", "outputs": {"effect": ["part"]}}
        names = ["one", "two", "three"]
        entries: list[dict[str, Any]] = [
            {**dialog, "name": name} for name, _ in zip(names, members, strict=False)
        ]
        queue = [*members, Gain(0.25)]
        monkeypatch.setattr(separators, "build", lambda *_: queue.pop(0))
        entries.append(effect)
        table = {"track": "cdx", "summary": "-", "members": entries, "blends": PAIR}
        if rest:
            entries.append({"separator": "gain", "name": "music", "outputs": {"music": ["part"]}})
            queue.append(Gain(0.5))
        table |= rest or {"residual": "music"}
        ready = Demixer(reading.parse("test", table), forgiving=True)
        deadline = Deadline(math.inf) if guarded else None
        blocks = torch.split(SONG, 7000, dim=-1)
        stream = ready.stream(blocks, 44_100, samples=SONG.shape[-1], deadline=deadline)
        return torch.cat(list(stream), dim=-1)

    return separate


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("rate_hz", [None, 32_000])
def test_the_stem_is_the_blend(
    stems_of: Callable[..., Tensor], guarded: bool, rate_hz: int | None
) -> None:
    stems = stems_of(Gain(1.0), Gain(2.0, sample_rate_hz=rate_hz), guarded=guarded)

    # 0.5 * 1 + 0.3 * 2 + 0.1 times the song; another rate loses what is above half of it.
    expected = 1.2 * SONG
    if rate_hz is None:
        torch.testing.assert_close(stems[0], expected, rtol=0, atol=4e-6)
    else:
        assert (stems[0] - expected).square().mean() < 0.15 * expected.square().mean()
    torch.testing.assert_close(stems.sum(dim=0), SONG, rtol=0, atol=4e-6)


@pytest.mark.parametrize(("fails", "gain"), [((True, False), 1.6), ((False, True), 0.7)])
def test_if_one_fails_the_blend_of_the_others_is_used(
    stems_of: Callable[..., Tensor], fails: tuple[bool, bool], gain: float
) -> None:
    one, two = (lambda call, always=always: always for always in fails)

    stems = stems_of(Gain(1.0, one), Gain(2.0, two))

    torch.testing.assert_close(stems[0], gain * SONG, rtol=0, atol=4e-6)


@pytest.mark.parametrize("which", [0, 1])
def test_if_one_fails_for_a_while_the_transitions_are_faded(
    stems_of: Callable[..., Tensor], which: int
) -> None:
    some: list[Callable[[int], bool]] = [lambda call: False, lambda call: False]
    some[which] = lambda call: call in (5, 6)

    stems = stems_of(Gain(1.0, some[0]), Gain(2.0, some[1]))

    ratio = stems[0, 0] / SONG[0]
    failed = [1.6, 0.7][which]
    # Chunk 5 starts at 16,000 and chunk 6 ends at 25,000; 800 samples are cross-faded.
    assert ratio[:15_900].sub(1.2).abs().max() < 1e-3
    assert ratio[17_000:24_000].sub(failed).abs().max() < 1e-3
    assert ratio[25_100:].sub(1.2).abs().max() < 1e-3
    assert ratio.diff().abs().max() < 2e-3, "a step is a click"


def test_without_members_the_stem_is_a_share_of_the_mixture(
    stems_of: Callable[..., Tensor],
) -> None:
    def fails(call: int) -> bool:
        return True

    stems = stems_of(Gain(1.0, fails), Gain(2.0, fails))

    torch.testing.assert_close(stems[0], SONG / 3, rtol=0, atol=4e-6)


def test_an_unfitted_third_member_is_averaged(stems_of: Callable[..., Tensor]) -> None:
    stems = stems_of(Gain(1.0), Gain(2.0), Gain(6.0))

    torch.testing.assert_close(stems[0], 3 * SONG, rtol=0, atol=4e-6)


def test_the_rest_of_the_mixture_is_shared(stems_of: Callable[..., Tensor]) -> None:
    stems = stems_of(Gain(1.0), Gain(0.0), rest={"consistency": {"dialog": 0.75, "music": 0.25}})

    # 0.6 + 0.25 + 0.5 of the song is 0.35 too much.
    torch.testing.assert_close(stems[0], (0.6 - 0.75 * 0.35) * SONG, rtol=0, atol=4e-6)
    torch.testing.assert_close(stems[1], 0.25 * SONG, rtol=0, atol=4e-6)
    torch.testing.assert_close(stems.sum(dim=0), SONG, rtol=0, atol=4e-6)
