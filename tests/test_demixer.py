"""Songs of any format stream through a recipe, and stems are aligned to the sample."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from demixing import separators
from demixing.engine.demixer import Demixer
from demixing.errors import OutputError, SongError
from demixing.recipes import reading
from demixing.schedule.budget import Deadline
from demixing.separator import Chunking
from tests.plain import once, shipped

pytestmark = pytest.mark.engine


@dataclass(frozen=True)
class Copies:
    """Both stems are the mixture; chunks have an odd length and a rate of their own."""

    sample_rate_hz: int | None = None
    stems: tuple[str, ...] = ("same", "again")
    chunking: Chunking = Chunking(chunk=3001, hop=2000, context=200)

    def separate(self, chunks: Tensor) -> Tensor:
        return torch.stack([chunks, chunks], dim=1)


class Broken(Copies):
    def separate(self, chunks: Tensor) -> Tensor:
        return super().separate(chunks) * float("nan")


MEMBERS: list[dict[str, Any]] = [
    {"separator": "copies", "outputs": {"dialog": ["same"]}},
    {
        "separator": "copies",
        "name": "second",
        "subtract": ["dialog"],
        "outputs": {"effect": ["same", "again"]},
    },
]


def demixer(
    monkeypatch: pytest.MonkeyPatch, *built: Any, members: Sequence[Any] = MEMBERS
) -> Demixer:
    """A CDX recipe whose two members are ``built``."""
    queue = list(built)
    monkeypatch.setattr(separators, "build", lambda *_: queue.pop(0))
    table = {"track": "cdx", "summary": "-", "residual": "music", "members": list(members)}
    return Demixer(reading.parse("test", table))


def noise(channels: int, samples: int) -> Tensor:
    return 0.1 * torch.randn(channels, samples, generator=torch.Generator().manual_seed(0))


def separated(ready: Demixer, song: Tensor, rate_hz: int, block: int = 5000) -> Tensor:
    return torch.cat(list(ready.stream(torch.split(song, block, dim=-1), rate_hz)), dim=-1)


@given(
    samples=st.integers(1, 9000),
    channels=st.sampled_from([1, 2, 3, 6, 8, 9]),
    block=st.sampled_from([1000, 2999, 9000]),
)
def test_the_stages_stay_aligned(samples: int, channels: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        ready = demixer(monkeypatch, Copies(), Copies())
    song = noise(channels, samples)

    stems = separated(ready, song, 44_100, block)

    # The first member takes all, the second one has a silent input, and nothing is left.
    assert stems.shape == (3, channels, samples)
    torch.testing.assert_close(stems[0], song, rtol=0, atol=2e-6)
    torch.testing.assert_close(stems[1:], torch.zeros_like(stems[1:]), rtol=0, atol=2e-6)


@given(
    samples=st.integers(1, 9000),
    rate_hz=st.sampled_from([8000, 22_050, 44_100, 48_000, 96_000, 192_000]),
)
def test_stems_are_as_long_as_the_song_and_sum_to_it_at_any_rate(
    samples: int, rate_hz: int
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        ready = demixer(monkeypatch, Copies(44_100), Copies(16_000))
    song = noise(2, samples)

    stems = separated(ready, song, rate_hz)

    assert stems.shape == (3, 2, samples)
    torch.testing.assert_close(stems.sum(dim=0), song, rtol=0, atol=2e-6)


def test_several_stems_of_a_separator_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    second = {key: value for key, value in MEMBERS[1].items() if key != "subtract"}
    ready = demixer(monkeypatch, Copies(), Copies(), members=[MEMBERS[0], second])
    song = noise(2, 5000)

    stems = separated(ready, song, 44_100)

    torch.testing.assert_close(stems[1], 2 * song, rtol=0, atol=2e-6)
    torch.testing.assert_close(stems[2], -2 * song, rtol=0, atol=2e-6)


def test_a_nan_in_the_output_names_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = demixer(monkeypatch, Broken(), Copies())

    with pytest.raises(OutputError, match="NaN or an infinity in the stem 'dialog'"):
        separated(ready, noise(2, 5000), 44_100)


def test_a_bad_sample_is_reported_with_its_position_in_the_song(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ready = demixer(monkeypatch, Copies(), Copies())
    song = noise(2, 9000)
    song[1, 7003] = float("inf")

    with pytest.raises(SongError, match="got inf at sample 7003 of channel 1"):
        separated(ready, song, 44_100)


@pytest.mark.parametrize("blocks", [[], [torch.zeros(2, 0)]], ids=["no block", "an empty block"])
def test_an_empty_song_is_refused(monkeypatch: pytest.MonkeyPatch, blocks: list[Tensor]) -> None:
    ready = demixer(monkeypatch, Copies(), Copies())

    with pytest.raises(SongError, match="at least one sample"):
        list(ready.stream(blocks, 44_100))


@pytest.mark.parametrize("name", ["mdx_default", "cdx_default"])
def test_the_default_recipes_leave_silence_silent(name: str) -> None:
    ready = Demixer(shipped(name))

    stems = separated(ready, torch.zeros(2, 44_100), 44_100)

    assert not stems.any()


@functools.cache
def default() -> Demixer:
    return Demixer(once("mdx_default"))


@pytest.mark.parametrize(
    ("channels", "rate_hz"), [(1, 8000), (2, 8000), (1, 44_100), (6, 44_100), (2, 96_000)]
)
def test_the_default_recipe_separates_any_format(channels: int, rate_hz: int) -> None:
    song = noise(channels, rate_hz // 2)
    deadline = Deadline(math.inf)  # with one, a short song is cut into short chunks

    blocks = default().stream([song], rate_hz, samples=song.shape[-1], deadline=deadline)
    stems = torch.cat(list(blocks), dim=-1)

    assert not default().omissions
    assert stems.shape == (4, *song.shape)
    assert torch.isfinite(stems).all()
    # Fitted stems need not sum to the mixture, but they are parts of it.
    assert (stems.sum(dim=0) * song).sum() > 0.3 * song.square().sum()
