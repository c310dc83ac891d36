"""The leakage of loud stems into faint ones is removed, and nothing else changes."""

import re

import pytest
import torch
from torch import Tensor

from demixing.engine.demixer import Demixer
from demixing.engine.leakage_filter import BANDS, LeakageFilter, in_bands
from demixing.ensemble.leak import Leak
from demixing.errors import ConfigError
from demixing.recipes import reading
from tools.golden.agreement import agreement_db

pytestmark = pytest.mark.engine

STEMS = ("bass", "drums", "vocals")
RATE_HZ = 44_100
RETURNED = Leak(of="bass", into="drums", power=0.04, returned=True)
DROPPED = Leak(of="bass", into="vocals", power=0.04)


def noise(seconds: float, seed: int, rate_hz: int = RATE_HZ) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 2, int(seconds * rate_hz), generator=generator)


def leaking(
    below_db: float, seconds: float = 25.0, rate_hz: int = RATE_HZ
) -> tuple[Tensor, Tensor]:
    """References, and estimates that have a fiftieth of the bass's power in each other stem.

    Args:
        below_db: how far drums and vocals are below the bass.
        seconds: length of the song.
        rate_hz: sample rate of the song.
    """
    faint = 10 ** (-below_db / 20)
    loud, *others = (noise(seconds, seed, rate_hz) for seed in (1, 2, 3))
    true = torch.stack([loud, *(faint * other for other in others)], dim=1)
    leak = 0.02**0.5 * true[:, 0]
    return true, torch.stack([true[:, 0] - 2 * leak, true[:, 1] + leak, true[:, 2] + leak], dim=1)


def filtered(answer: Tensor, *leaks: Leak, block: int = RATE_HZ, rate_hz: int = RATE_HZ) -> Tensor:
    leakage = LeakageFilter(leaks, STEMS, rate_hz, len(answer))
    signals = torch.cat([answer, answer.sum(dim=1, keepdim=True)], dim=1)
    return streamed(leakage, signals, block)


def streamed(leakage: LeakageFilter, signals: Tensor, block: int) -> Tensor:
    parts = [piece for part in torch.split(signals, block, dim=-1) for piece in leakage.push(part)]
    return torch.cat([*parts, *leakage.finish()], dim=-1)


def test_a_faint_stem_loses_its_leakage() -> None:
    true, answer = leaking(below_db=20)

    after_filter = filtered(answer, RETURNED, DROPPED)

    for stem in (1, 2):
        before, after = (
            agreement_db(true[:, stem], one[:, stem]) for one in (answer, after_filter)
        )
        assert before < -2.9
        assert after > before + 3.5
    assert agreement_db(true[:, 0], after_filter[:, 0]) > agreement_db(true[:, 0], answer[:, 0])


def test_a_stem_that_is_not_faint_hardly_changes() -> None:
    true, answer = leaking(below_db=0)

    after_filter = filtered(answer, RETURNED, DROPPED)

    for stem in (1, 2):
        before, after = (
            agreement_db(true[:, stem], one[:, stem]) for one in (answer, after_filter)
        )
        assert abs(after - before) < 0.3


def test_returned_leakage_does_not_change_the_sum() -> None:
    _, answer = leaking(below_db=20)

    after_filter = filtered(answer, RETURNED)

    torch.testing.assert_close(after_filter.sum(dim=1), answer.sum(dim=1), atol=1e-5, rtol=0)
    torch.testing.assert_close(after_filter[:, 2], answer[:, 2], atol=1e-6, rtol=0)


@pytest.mark.parametrize("seconds", [0.001, 0.5, 20.0, 22.3, 45.0])
def test_blocks_of_any_length_give_the_same(seconds: float) -> None:
    _, answer = leaking(below_db=20, seconds=seconds, rate_hz=8_000)

    whole = filtered(answer, RETURNED, DROPPED, block=answer.shape[-1], rate_hz=8_000)

    assert whole.shape == answer.shape
    parts = filtered(answer, RETURNED, DROPPED, block=5_003, rate_hz=8_000)
    torch.testing.assert_close(parts, whole)


def test_each_group_of_channels_has_its_own_leaks() -> None:
    _, faint = leaking(below_db=20, seconds=3)
    _, loud = leaking(below_db=0, seconds=3)

    both = filtered(torch.cat([faint, loud]), RETURNED, DROPPED)

    for index, alone in enumerate((faint, loud)):
        torch.testing.assert_close(both[index : index + 1], filtered(alone, RETURNED, DROPPED))


@pytest.mark.parametrize("silent", range(3))
@pytest.mark.parametrize("rate_hz", [8_000, 48_000])
def test_silence_stays_silent_and_leaks_nothing(silent: int, rate_hz: int) -> None:
    _, answer = leaking(below_db=20, seconds=2)
    answer[:, silent] = 0

    after_filter = filtered(answer, RETURNED, DROPPED, rate_hz=rate_hz)

    assert torch.isfinite(after_filter).all()
    if silent:
        assert not after_filter[:, silent].any()
    else:
        torch.testing.assert_close(after_filter, answer, atol=1e-6, rtol=0)


def test_two_leaks_together_remove_at_most_all_of_a_stem() -> None:
    _, answer = leaking(below_db=40, seconds=2)
    other = Leak(of="vocals", into="drums", power=0.9, returned=True)

    after_filter = filtered(answer, Leak(of="bass", into="drums", power=0.9, returned=True), other)

    assert after_filter[:, 1].abs().max() < 1e-5
    torch.testing.assert_close(after_filter.sum(dim=1), answer.sum(dim=1), atol=1e-5, rtol=0)


def test_the_residual_is_shared_above_a_frequency() -> None:
    stems = noise(3, seed=1)[:, None].expand(-1, 3, -1, -1)
    cycles = torch.arange(stems.shape[-1], dtype=torch.float64) / RATE_HZ
    low, tall = (
        torch.sin(2 * torch.pi * hz * cycles).float().expand(1, 2, -1) for hz in (500, 8e3)
    )
    mixture = (stems.sum(dim=1) + low + tall)[:, None]
    shares = {"vocals": 0.75}

    leakage = LeakageFilter([], STEMS, RATE_HZ, 1, shares=shares, above_hz=4000)
    signals = torch.cat([stems, mixture], dim=1)
    shared = streamed(leakage, signals, 9_000)

    assert shared.shape == stems.shape
    torch.testing.assert_close(shared[:, :2], stems[:, :2], atol=1e-5, rtol=0)
    middle = slice(9_000, -9_000)  # the onset and the end of a tone contain all frequencies
    gained = (shared - stems)[:, 2, :, middle]
    torch.testing.assert_close(gained, 0.75 * tall[..., middle], atol=2e-3, rtol=0)


def test_the_weights_of_each_bin_sum_to_one() -> None:
    bands = in_bands(2049, RATE_HZ)

    assert bands.shape == (2049, BANDS)
    torch.testing.assert_close(bands.sum(dim=1), torch.ones(2049))
    assert (bands.sum(dim=0) > 0).all()


TABLE = {
    "track": "mdx",
    "summary": "",
    "members": [
        {"separator": "equal_shares", "outputs": {stem: [stem] for stem in ("vocals", "other")}},
        {
            "name": "low",
            "separator": "hpss",
            "outputs": {"drums": ["percussive"], "bass": ["low"]},
        },
    ],
}


def test_the_leaks_of_a_recipe_are_filtered() -> None:
    leak = {"of": "bass", "into": "drums", "power": 0.3, "returned": True}
    song = noise(3, 4)[0]

    plain, after_filter = (
        torch.cat(list(Demixer(reading.parse("a", table)).stream([song], RATE_HZ)), dim=-1)
        for table in (TABLE, {**TABLE, "leaks": [leak]})
    )

    stems = reading.parse("a", TABLE).track.stems
    changed = {
        stem
        for stem, before, after in zip(stems, plain, after_filter, strict=True)
        if not torch.allclose(before, after, atol=1e-4)
    }
    assert after_filter.shape == plain.shape
    assert changed == {"bass", "drums"}


@pytest.mark.parametrize(
    ("leak", "sentence"),
    [
        ({"of": "bass", "into": "drum", "power": 0.1}, "leaks has no stem 'drum'; did you mean"),
        ({"of": "bass", "into": "bass", "power": 0.1}, "got 'bass' twice"),
        ({"of": "bass", "into": "drums", "power": 1.0}, "between 0 and 1, got 1.0"),
        ({"of": "bass", "into": "drums", "power": "a"}, "leak 1: power must be a float, got 'a'"),
        ({"of": "bass", "into": "drums"}, "the key 'power' is missing"),
    ],
)
def test_an_impossible_leak_is_refused_in_one_sentence(
    leak: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        reading.parse("a", {**TABLE, "leaks": [leak]})
