"""The masks are those of librosa, which takes much longer."""

import dataclasses

import librosa
import numpy as np
import pytest
import torch

from demixing.chunks.overlap_add import OverlapAdd
from demixing.separators import hpss

pytestmark = pytest.mark.engine


def sine_and_clicks() -> torch.Tensor:
    """Two seconds of a tone at 440 Hz and four clicks, ``(2, 2, samples)``: apart, in stereo."""
    seconds = torch.arange(88_200) / 44_100
    tone = 0.3 * torch.sin(2 * torch.pi * 440 * seconds)
    clicks = torch.zeros(88_200)
    clicks[11_025::22_050] = 0.9
    return torch.stack([tone, clicks])[:, None].expand(2, 2, -1)


def test_the_mask_is_that_of_librosa(rng: np.random.Generator) -> None:
    magnitudes = np.abs(rng.standard_normal((257, 90))).astype(np.float32)
    ours = hpss.build(frame=512, frame_hop=128, across_time=17, across_frequency=31)

    mask = ours._mask(torch.from_numpy(magnitudes))

    _, theirs = librosa.decompose.hpss(magnitudes, kernel_size=(17, 31), mask=True)
    np.testing.assert_array_equal(mask.numpy(), theirs)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 7.0])
def test_the_soft_mask_is_that_of_librosa(power: float, rng: np.random.Generator) -> None:
    # From numbers whose powers overflow to numbers too small for a mask, and zeros.
    scale = 10.0 ** rng.uniform(-42, 30, size=(2, 40, 50))
    part, other = (scale * rng.choice([0, 0.5, 1], size=(2, 40, 50))).astype(np.float32)

    mask = hpss.soft_mask(part, other, power)

    theirs = librosa.util.softmask(part, other, power=power, split_zeros=True)
    np.testing.assert_array_equal(mask, theirs)
    assert mask.dtype == np.float32
    assert 0 < (mask == 0.5).mean() < 0.5


def test_the_stems_sum_to_the_mixture() -> None:
    mixture = sine_and_clicks().sum(dim=0)[None]

    stems = hpss.build().separate(mixture)

    torch.testing.assert_close(stems.sum(dim=1), mixture, rtol=0, atol=1e-6)


def test_a_tone_is_harmonic_and_clicks_are_percussive() -> None:
    tone, clicks = sine_and_clicks()

    stems = hpss.build().separate((tone + clicks)[None])[0]

    tone_energy = tone.square().sum()
    assert (stems[0] - clicks).square().sum() < 0.01 * tone_energy
    assert (stems[2] - tone).square().sum() < 0.01 * tone_energy


@pytest.mark.parametrize(("crossover_hz", "stem"), [(100.0, 2), (2000.0, 1), (0.0, 2)])
def test_the_crossover_decides_between_low_and_high(crossover_hz: float, stem: int) -> None:
    tone = sine_and_clicks()[0]

    stems = hpss.build(crossover_hz=crossover_hz).separate(tone[None])[0]

    assert stems[stem].square().sum() > 0.9 * tone.square().sum()


def test_the_seams_between_chunks_do_not_show(rng: np.random.Generator) -> None:
    song = torch.from_numpy(0.1 * rng.standard_normal((1, 2, 12 * 44_100)).astype(np.float32))
    separator = hpss.build()
    cut = separator.chunking
    # Short chunks with all the context of long ones, and like those without a cross-fade.
    kept = cut.shorter[-1] - 2 * cut.context
    overlap = OverlapAdd(
        separator, chunking=dataclasses.replace(cut, chunk=cut.shorter[-1], hop=kept)
    )

    streamed = torch.cat([overlap.push(song), overlap.finish()], dim=-1)

    # The whole song at once, on the same grid of frames. The last chunk is padded with silence, so
    # the song is, too.
    assert cut.hop == cut.chunk - 2 * cut.context
    whole = separator.separate(torch.nn.functional.pad(song, (0, cut.context)))
    torch.testing.assert_close(streamed, whole[..., : song.shape[-1]], rtol=0, atol=1e-5)
