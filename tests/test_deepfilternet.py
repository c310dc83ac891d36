"""DeepFilterNet's published networks agree with its native library."""

import functools

import numpy as np
import pytest
import torch
from torch import Tensor

from demixing import separators
from demixing.chunks.overlap_add import OverlapAdd
from demixing.separators import deepfilternet
from demixing.separators.deepfilternet import DeepFilterNet
from demixing.weights import checkpoints

pytestmark = pytest.mark.engine


@functools.cache
def network() -> DeepFilterNet:
    built = separators.build("deepfilternet")
    assert isinstance(built, DeepFilterNet)
    return built


@pytest.fixture(scope="module")
def mixture(briefing: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(briefing.values())).sum(dim=0)


def separated(song: Tensor) -> Tensor:
    """Speech and the rest of a song."""
    overlap = OverlapAdd(network())
    return torch.cat([overlap.push(song[None]), overlap.finish()], dim=-1)[0]


def test_the_middle_is_processed_as_by_the_native_library(mixture: Tensor) -> None:
    mono = mixture.mean(dim=0)

    speech, _ = separated(mono.expand(2, -1))

    # Powers per second that libdeepfilter of the same package printed, less its delay of 1440.
    native = [2.195025e-3, 1.954695e-3, 2.586175e-3, 3.101297e-3, 4.145804e-3]
    powers = speech[0].reshape(5, -1).square().mean(dim=1)
    assert powers.tolist() == pytest.approx(native, rel=1e-4)


def test_shorter_chunks_are_accepted(mixture: Tensor) -> None:
    for chunk in network().chunking.shorter:
        with torch.inference_mode():
            stems = network().separate(mixture.tile(2)[None, :, :chunk])

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


def test_the_archive_contains_the_three_networks() -> None:
    opened = checkpoints.sessions(checkpoints.find("deepfilternet3"))

    assert set(opened) == {"enc", "erb_dec", "df_dec"}
