"""A member does not count if it contradicts all others for most of a song."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from demixing import separators
from demixing.engine.demixer import Demixer
from demixing.ensemble import doubt as doubt_module
from demixing.ensemble.doubt import Doubt, Trust
from demixing.errors import ConfigError
from demixing.recipes import reading
from demixing.schedule.budget import Deadline
from demixing.separator import Chunking

RATE_HZ = 8_000
CELL_S = 3  # shorter than in real songs: the tests are about what happens at its end
CELL, FADE = CELL_S * RATE_HZ, RATE_HZ
SONG = 0.1 * torch.randn(2, 4 * CELL + 777, generator=torch.Generator().manual_seed(0))
DOUBT = {"stem": "dialog", "least": 0.4, "most": 0.6}
BLENDS = [
    {"stem": "dialog", "weights": {"one": 0.6}},
    {"stem": "dialog", "weights": {"one": 0.3, "last": 0.5}},
]


@dataclass
class Gain:
    """Returns the mixture times a factor, with another factor from some sample on, or fails."""

    gain: float
    later: float | None = None
    since: int = 2 * CELL
    broken: bool = False
    sample_rate_hz: int | None = None
    chunking: Chunking = field(default_factory=lambda: Chunking(chunk=2500, hop=2000, context=100))
    stems: tuple[str, ...] = ("part",)
    _asked: int = 0

    def separate(self, chunks: Tensor) -> Tensor:
        if self.broken:
            raise RuntimeError("boom")
        self._asked += 1
        late = self.later is not None and self._asked * self.chunking.hop > self.since
        return (self.later if late else self.gain) * chunks[:, None]  # type: ignore[operator]


Separate = Callable[..., Tensor]


@pytest.fixture(autouse=True)
def short_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubt_module, "CELL_S", CELL_S)


@pytest.fixture
def separate(monkeypatch: pytest.MonkeyPatch) -> Separate:
    def run(
        one: Gain | None,
        last: Gain,
        *,
        doubt: dict[str, Any] | None = DOUBT,
        block: int = 7_000,
        channels: int = 2,
    ) -> Tensor:
        members: list[dict[str, Any]] = [
            {"name": "rest", "outputs": {"effect": ["part"], "music": ["part"]}},
            {"name": "one", "outputs": {"dialog": ["part"]}},
            {"name": "last", "outputs": {"dialog": ["part"]}},
        ]
        if doubt:
            members[-1]["doubt"] = doubt
        ready: list[Gain] = [Gain(0.1), *([one] if one else []), last]
        if one is None:
            del members[1]
        monkeypatch.setattr(separators, "build", lambda *_: ready.pop(0))
        table = {
            "track": "cdx",
            "summary": "-",
            "members": [{"separator": "gain", **member} for member in members],
            "blends": BLENDS if one else [],
            "consistency": {"music": 1.0},
        }
        demixer = Demixer(reading.parse("test", table), forgiving=True)
        song = SONG[:channels]
        blocks = torch.split(song, block, dim=-1)
        stream = demixer.stream(
            blocks, RATE_HZ, samples=song.shape[-1], deadline=Deadline(math.inf)
        )
        return torch.cat(list(stream), dim=-1)

    return run


def gain_of(stems: Tensor, stem: int = 0) -> Tensor:
    """The factor of the song at each sample."""
    return stems[stem].mul(SONG).sum(dim=0) / SONG.square().sum(dim=0)


def test_a_member_that_agrees_has_its_weight_of_the_blend(separate: Separate) -> None:
    believed = separate(Gain(1.0), Gain(1.2))

    torch.testing.assert_close(believed[0], (0.3 + 0.5 * 1.2) * SONG, rtol=0, atol=1e-6)
    undoubted = separate(Gain(1.0), Gain(1.2), doubt=None)
    torch.testing.assert_close(believed[0], undoubted[0], rtol=0, atol=1e-6)


def test_where_it_contradicts_all_others_their_blend_is_used(separate: Separate) -> None:
    stems = separate(Gain(1.0), Gain(-0.5))  # 0.6 and -0.5 differ by 1.21 of the energy

    torch.testing.assert_close(stems[0], 0.6 * SONG, rtol=0, atol=1e-6)
    torch.testing.assert_close(stems[1], 0.1 * SONG, rtol=0, atol=1e-6)
    torch.testing.assert_close(stems.sum(dim=0), SONG, rtol=0, atol=1e-6)


def test_between_the_bounds_it_counts_partly(separate: Separate) -> None:
    other = 0.6 - math.sqrt(0.5)  # half of the energy is disputed, so it is half trusted

    stems = separate(Gain(1.0), Gain(other))

    expected = 0.5 * 0.6 + 0.5 * (0.3 + 0.5 * other)
    torch.testing.assert_close(stems[0], expected * SONG, rtol=0, atol=1e-5)


def test_doubt_depends_on_the_song_so_far_and_fades(separate: Separate) -> None:
    gain = gain_of(separate(Gain(1.0), Gain(1.0, later=-2.0)))

    believed, alone = 0.8, 0.6
    assert gain[: 2 * CELL - 2500].sub(believed).abs().max() < 1e-4
    # The third cell is disputed by 6.76 times its energy: 2.25 times that of the song so far.
    assert gain[2 * CELL + FADE :].sub(alone).abs().max() < 1e-4
    fading = gain[2 * CELL + 2500 : 2 * CELL + FADE]  # the member has no joint there
    assert fading.diff().abs().max() < 2 * 1.3 / FADE, "a step is a click"


@pytest.mark.parametrize("block", [500, 12_345, 10**6])
def test_doubt_does_not_depend_on_the_blocks(separate: Separate, block: int) -> None:
    assert torch.equal(
        separate(Gain(1.0), Gain(1.0, later=-2.0), block=block),
        separate(Gain(1.0), Gain(1.0, later=-2.0)),
    )


def test_where_the_others_have_no_output_it_counts(separate: Separate) -> None:
    stems = separate(Gain(1.0, broken=True), Gain(-0.5))

    # The blend of both without one, scaled to the sum that it has.
    torch.testing.assert_close(stems[0], 0.8 * -0.5 * SONG, rtol=0, atol=1e-6)


def test_where_it_has_no_output_the_blend_of_the_others_is_used(separate: Separate) -> None:
    stems = separate(Gain(1.0), Gain(-0.5, broken=True))

    torch.testing.assert_close(stems[0], 0.6 * SONG, rtol=0, atol=1e-6)


def test_the_only_member_for_a_stem_counts(separate: Separate) -> None:
    stems = separate(None, Gain(-0.5))

    torch.testing.assert_close(stems[0], -0.5 * SONG, rtol=0, atol=1e-6)


def test_a_mono_song_is_judged_like_any_other(separate: Separate) -> None:
    stems = separate(Gain(1.0), Gain(-0.5), channels=1)

    torch.testing.assert_close(stems[0], 0.6 * SONG[:1], rtol=0, atol=1e-6)


def test_silence_contradicts_nothing() -> None:
    trust = Trust(Doubt(stem="bass", least=0.4, most=0.6), RATE_HZ, groups=1)

    assert bool((trust.of(torch.zeros(1, 2, 500), torch.zeros(1, 2, 500)) == 1).all())


def test_each_pair_of_channels_is_judged_on_its_own() -> None:
    trust = Trust(Doubt(stem="bass", least=0.4, most=0.6), RATE_HZ, groups=2)
    mixture = torch.ones(2, 2, 500)

    judged = trust.of(torch.stack([0 * mixture[0], mixture[1]]), mixture)

    assert judged.shape == (2, 1, 500)
    assert judged[:, 0, 0].tolist() == [1.0, 0.0]


def test_the_others_are_consistent_with_the_mixture_before_they_are_compared(
    separate: Separate,
) -> None:
    stems = separate(Gain(1.0), Gain(1.2))

    # Music gets all that 0.6 of dialog leaves, not the rest after the last member's answer.
    torch.testing.assert_close(stems[2], 0.3 * SONG, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stem": "effect"}, "member 'two' is doubted for its 'effect', which it does not output"),
        ({"least": 0.6}, "doubt: expected 0 <= least < most, got 0.6 and 0.6"),
        ({"most": "all"}, "doubt: most must be a float, got 'all'"),
    ],
)
def test_an_impossible_doubt_is_refused_in_one_sentence(
    change: dict[str, Any], message: str
) -> None:
    members = [
        {
            "separator": "silence",
            "name": "one",
            "outputs": {"dialog": ["silence"], "effect": ["silence"], "music": ["silence"]},
        },
        {
            "separator": "silence",
            "name": "two",
            "outputs": {"dialog": ["silence"]},
            "doubt": DOUBT | change,
        },
    ]

    with pytest.raises(ConfigError, match=message):
        reading.parse("bad", {"track": "cdx", "summary": "-", "members": members})


def test_a_recipe_with_a_residual_cannot_have_a_doubt() -> None:
    outputs = {"dialog": ["silence"], "effect": ["silence"]}
    members = [{"separator": "silence", "outputs": outputs, "doubt": DOUBT}]
    table = {"track": "cdx", "summary": "-", "members": members, "residual": "music"}

    with pytest.raises(ConfigError, match="has a residual, so no member may be doubted"):
        reading.parse("bad", table)


def test_a_member_that_may_be_doubted_must_come_last() -> None:
    outputs = {"dialog": ["silence"], "effect": ["silence"], "music": ["silence"]}
    members: list[dict[str, Any]] = [
        {"separator": "silence", "name": "one", "outputs": outputs, "doubt": DOUBT},
        {"separator": "silence", "name": "two", "outputs": {"effect": ["silence"]}},
    ]

    with pytest.raises(ConfigError, match="'two' also outputs 'effect'; move 'one' below it"):
        reading.parse("bad", {"track": "cdx", "summary": "-", "members": members})

    members[0]["outputs"] = {"dialog": ["silence"]}
    members[1]["outputs"] = {"effect": ["silence"], "music": ["silence"]}
    with pytest.raises(ConfigError, match="without a doubt table; 'two' follows; move 'one'"):
        reading.parse("bad", {"track": "cdx", "summary": "-", "members": members})
