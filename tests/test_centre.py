"""The centre: only the panning and the pitch of a source decide whether it is in it."""

import pytest
import torch
from torch import Tensor

from demixing.chunks.overlap_add import OverlapAdd
from demixing.errors import ConfigError
from demixing.separators import build, centre


def tone(hz: float, left: float, right: float, samples: int = 88_200) -> Tensor:
    """A stereo sine, ``(1, 2, samples)``."""
    sine = 0.3 * torch.sin(2 * torch.pi * hz * torch.arange(samples) / 44_100)
    return torch.stack([left * sine, right * sine])[None]


def part_in_centre(chunks: Tensor) -> float:
    """Part of the energy that is in the centre, without the ends."""
    stems = centre.build().separate(chunks)[0, :, :, 8192:-8192]
    return float(stems[0].square().sum() / stems.sum(dim=0).square().sum())


@pytest.mark.parametrize(
    ("hz", "left", "right", "part"),
    [
        pytest.param(60, 1, 1, 1, id="low and in the middle"),
        pytest.param(60, 1, 0, 0, id="hard left"),
        pytest.param(60, 1, -1, 0, id="out of phase"),
        pytest.param(2000, 1, 1, 0, id="high"),
    ],
)
def test_panning_and_pitch_decide(hz: float, left: float, right: float, part: float) -> None:
    assert part_in_centre(tone(hz, left, right)) == pytest.approx(part, abs=0.01)


def test_most_of_a_source_near_the_middle_is_in_the_centre() -> None:
    assert 0.7 < part_in_centre(tone(60, 1, 0.8)) < 1


def test_the_stems_sum_to_the_mixture() -> None:
    mixture = torch.randn(2, 2, 50_000, generator=torch.Generator().manual_seed(0))

    stems = centre.build().separate(mixture)

    torch.testing.assert_close(stems.sum(dim=1), mixture, rtol=0, atol=1e-6)
    assert torch.equal(stems[:, 0, 0], stems[:, 0, 1])


def test_the_level_of_a_song_changes_nothing() -> None:
    mixture = 0.1 * torch.randn(1, 2, 50_000, generator=torch.Generator().manual_seed(0))

    quiet, loud = (centre.build().separate(gain * mixture) for gain in (0.25, 1.0))

    torch.testing.assert_close(4 * quiet, loud, rtol=0, atol=1e-6)


def test_the_seams_between_chunks_do_not_show() -> None:
    song = 0.1 * torch.randn(1, 2, 500_000, generator=torch.Generator().manual_seed(0))
    overlap = OverlapAdd(centre.build())

    stems = torch.cat([overlap.push(song), overlap.finish()], dim=-1)

    whole = centre.build().separate(song)
    torch.testing.assert_close(stems[..., :-4096], whole[..., :-4096], rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", [{"crossover_hz": 0}, {"power": -1}, {"power": float("nan")}])
def test_impossible_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="need crossover_hz > 0 and power >= 0"):
        build("centre", options)
