"""Channels and sample rates are the same at the input and at the output."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from demixing import audio
from demixing.audio.resampler import Resampler
from demixing.errors import SongError


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("channels", [*range(1, 13), 16])
def test_any_number_of_channels_survives_pairing(channels: int) -> None:
    song = noise(channels, 10)

    pairs = audio.to_pairs(song)

    assert pairs.shape[1:] == (2, 10)
    assert torch.equal(audio.from_pairs(pairs, channels), song)


@pytest.mark.parametrize("channels", audio.PAIRS)
def test_each_channel_belongs_to_one_pair(channels: int) -> None:
    members = sorted(channel for pair in audio.PAIRS[channels] for channel in set(pair))

    assert members == list(range(channels))


def test_stems_of_a_mono_channel_are_averaged() -> None:
    pairs = torch.tensor([[[[1.0], [3.0]], [[5.0], [5.0]]]])  # one group, two stems

    stems = audio.from_pairs(pairs, 1)

    assert stems.tolist() == [[[2.0]], [[5.0]]]


@given(
    from_hz=st.sampled_from([8000, 22_050, 44_100, 48_000, 96_000, 192_000]),
    to_hz=st.sampled_from([16_000, 44_100, 48_000]),
    lengths=st.lists(st.integers(0, 5000), min_size=1, max_size=4),
)
def test_resampling_does_not_depend_on_the_blocks(
    from_hz: int, to_hz: int, lengths: list[int]
) -> None:
    song = noise(2, sum(lengths))
    parts, whole = (Resampler(from_hz, to_hz, 2) for _ in range(2))

    blocks = [parts.push(block) for block in torch.split(song, lengths, dim=-1)]
    in_parts = torch.cat([*blocks, parts.push(song[:, :0], last=True)], dim=-1)
    at_once = whole.push(song, last=True)

    assert abs(at_once.shape[-1] - sum(lengths) * to_hz / from_hz) <= 1
    torch.testing.assert_close(in_parts, at_once, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rate_hz", [16_000, 48_000, 96_000])
def test_a_tone_keeps_its_place_after_resampling_there_and_back(rate_hz: int) -> None:
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(rate_hz) / rate_hz)[None]
    there, back = Resampler(rate_hz, 44_100, 1), Resampler(44_100, rate_hz, 1)

    returned = back.push(there.push(tone, last=True), last=True)

    middle = slice(rate_hz // 4, 3 * rate_hz // 4)
    error = (returned[:, middle] - tone[:, middle]).square().mean().sqrt()
    assert error < 1e-4, "a delay of one sample would be an error of 0.09"


@pytest.mark.parametrize(("rate_hz", "channels"), [(7999, 2), (192_001, 2), (44_100, 17)])
def test_formats_out_of_range_are_refused(rate_hz: int, channels: int) -> None:
    with pytest.raises(SongError, match=r"expected .* got \d+"):
        audio.check_format(rate_hz, channels)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e7])
def test_the_first_bad_sample_is_named(value: float) -> None:
    block = torch.zeros(3, 10)
    block[2, 4] = block[1, 7] = value

    with pytest.raises(SongError, match=re.escape(f"got {value:g} at sample 104 of channel 2")):
        audio.check_finite(block, start=100)
