"""DeepFilterNet's published networks, driven by us, find real speech in real noise."""

import functools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from torch import Tensor

from my_submission import checkpoints, separators
from my_submission.overlap import OverlapAdd
from my_submission.separators import deepfilternet
from my_submission.separators.deepfilternet import DeepFilterNet

CLIP = Path(__file__).parents[1] / "samples" / "cdx" / "clip_1_briefing"


@functools.cache
def network() -> DeepFilterNet:
    built = separators.build("deepfilternet")
    assert isinstance(built, DeepFilterNet)
    return built


@functools.cache
def film(stem: str) -> Tensor:
    """Five seconds of one stem, ``(2, samples)``, at the network's rate."""
    audio, rate_hz = soundfile.read(CLIP / f"{stem}.flac", stop=5 * 44_100)
    return torch.from_numpy(soxr.resample(audio, rate_hz, 48_000).T.astype(np.float32))


def mixture() -> Tensor:
    return film("dialog") + film("effect") + film("music")


def separated(song: Tensor, block: int = 1 << 20) -> Tensor:
    """Speech and the rest of a song that comes in blocks."""
    overlap = OverlapAdd(network())
    blocks = [overlap.push(piece[None]) for piece in torch.split(song, block, dim=-1)]
    return torch.cat([*blocks, overlap.finish()], dim=-1)[0]


def sdr_db(reference: Tensor, estimate: Tensor) -> float:
    error = (reference - estimate).double().square().sum() + 1e-7
    return float(10 * torch.log10((reference.double().square().sum() + 1e-7) / error))


def test_speech_is_found_in_film_as_well_as_ever() -> None:
    speech, rest = separated(mixture())

    assert sdr_db(film("dialog"), mixture()) == pytest.approx(0.81, abs=0.01)
    assert sdr_db(film("dialog"), speech) == pytest.approx(10.91, abs=0.05)
    torch.testing.assert_close(speech + rest, mixture(), rtol=0, atol=1e-6)


def test_the_middle_is_treated_as_by_the_native_library() -> None:
    mono = mixture().mean(dim=0)

    speech, _ = separated(mono.expand(2, -1))

    # Powers per second that libdeepfilter of the same package printed, less its delay of 1440.
    native = [2.195025e-3, 1.954695e-3, 2.586175e-3, 3.101297e-3, 4.145804e-3]
    powers = speech[0].reshape(5, -1).square().mean(dim=1)
    assert powers.tolist() == pytest.approx(native, rel=1e-4)


def test_the_network_hears_the_middle_and_both_channels_get_the_same_filter() -> None:
    left = mixture()[:1, :96_000]

    speech = separated(torch.cat([0.5 * left, 1.5 * left]))[0]

    torch.testing.assert_close(speech[1], 3 * speech[0], rtol=1e-3, atol=1e-5)


def test_blocks_of_any_length_give_the_same_speech() -> None:
    torch.testing.assert_close(
        separated(mixture(), block=10_007), separated(mixture()), rtol=0, atol=1e-6
    )


def test_silence_stays_silent() -> None:
    with torch.inference_mode():
        stems = network().separate(torch.zeros(1, 2, network().chunking.chunk))

    assert stems.abs().max() < 1e-6


def test_music_without_speech_is_left_to_the_rest() -> None:
    speech, _ = separated(film("music"))

    assert 10 * torch.log10(speech.square().sum() / film("music").square().sum()) < -10


def test_shorter_chunks_are_answered_too() -> None:
    for chunk in network().chunking.shorter:
        with torch.inference_mode():
            stems = network().separate(mixture().tile(2)[None, :, :chunk])

        assert stems.shape == (1, 2, 2, chunk)
        assert torch.isfinite(stems).all()


def test_bands_are_as_wide_as_in_the_published_model() -> None:
    bins = deepfilternet.band_bins()

    assert len(bins) == 32
    assert bins.tolist()[-5:] == [37, 42, 50, 56, 67]


def test_a_running_mean_forgets_its_start_in_a_second() -> None:
    table = np.ones((1, 300), dtype=np.float32)

    means = deepfilternet.running_mean(table, np.array([0.0]))

    assert means[0, 0] == pytest.approx(0.01)
    assert means[0, 99] == pytest.approx(1 - 0.99**100)


def test_the_archive_holds_the_three_networks() -> None:
    opened = checkpoints.sessions(checkpoints.find("deepfilternet3"))

    assert set(opened) == {"enc", "erb_dec", "df_dec"}
