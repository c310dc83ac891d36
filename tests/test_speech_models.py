"""Real weights of speech models find real speech in real noise, in blocks of any length."""

import functools

import pytest
import torch
from torch import Tensor

from demixing import separators
from demixing.chunks.overlap_add import OverlapAdd
from demixing.separator import Separator

pytestmark = pytest.mark.engine

GOLDEN_DB = {"conv_tasnet": 13.12, "deepfilternet": 10.91, "gtcrn": 9.69}
"""SDR of the dialog by separator; that of the mixture is 0.81 dB."""

every_model = pytest.mark.parametrize("name", GOLDEN_DB)


@functools.cache
def built(name: str) -> Separator:
    return separators.build(name)


@pytest.fixture(scope="module")
def mixture(briefing: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(briefing.values())).sum(dim=0)


def separated(name: str, song: Tensor, block: int = 1 << 20) -> Tensor:
    """Speech and the rest of a song that comes in blocks."""
    overlap = OverlapAdd(built(name))
    blocks = [overlap.push(piece[None]) for piece in torch.split(song, block, dim=-1)]
    return torch.cat([*blocks, overlap.finish()], dim=-1)[0]


def sdr_db(reference: Tensor, estimate: Tensor) -> float:
    error = (reference - estimate).double().square().sum() + 1e-7
    return float(10 * torch.log10((reference.double().square().sum() + 1e-7) / error))


@every_model
def test_speech_in_film_keeps_its_score(
    name: str, briefing: dict[str, Tensor], mixture: Tensor
) -> None:
    speech, rest = separated(name, mixture)

    assert sdr_db(briefing["dialog"], mixture) == pytest.approx(0.81, abs=0.01)
    assert sdr_db(briefing["dialog"], speech) == pytest.approx(GOLDEN_DB[name], abs=0.05)
    torch.testing.assert_close(speech + rest, mixture, rtol=0, atol=1e-6)


@every_model
def test_blocks_of_any_length_give_the_same_speech(name: str, mixture: Tensor) -> None:
    short = mixture[:, :60_000]

    torch.testing.assert_close(
        separated(name, short, block=10_007), separated(name, short), rtol=0, atol=1e-6
    )


@every_model
def test_both_channels_get_the_same_mask(name: str, mixture: Tensor) -> None:
    left = mixture[:1, :96_000]

    speech = separated(name, torch.cat([0.5 * left, 1.5 * left]))[0]

    torch.testing.assert_close(speech[1], 3 * speech[0], rtol=1e-3, atol=1e-5)


@every_model
def test_silence_stays_silent(name: str) -> None:
    with torch.inference_mode():
        stems = built(name).separate(torch.zeros(1, 2, built(name).chunking.chunk))

    assert stems.abs().max() < 1e-6


@every_model
def test_music_without_speech_is_left_to_the_rest(name: str, briefing: dict[str, Tensor]) -> None:
    music = briefing["music"][:, :122_880]

    speech, _ = separated(name, music)

    assert 10 * torch.log10(speech.square().sum() / music.square().sum()) < -10
