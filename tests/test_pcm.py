"""Stems become the integers that libsndfile makes of them, bit for bit."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from demixing.audio import finite, pcm


def edges() -> torch.Tensor:
    """Stereo noise of several levels, values at the edges of integers, and values that clip."""
    noise = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    steps = torch.arange(-70_000, 70_000) / 65_536
    values = torch.cat([0.5 * noise, 1e-5 * noise, 1e-9 * noise, steps, 3 * noise])
    return torch.stack([values, torch.nextafter(values, torch.tensor(9.0))])


@pytest.mark.parametrize("kind", ["WAV", "RF64", "FLAC"])
@pytest.mark.parametrize(("bits", "subtype"), [("16", "PCM_16"), ("24", "PCM_24")])
def test_integers_are_those_of_libsndfile(
    tmp_path: Path, kind: str, bits: str, subtype: str
) -> None:
    stem = edges()

    def written(name: str, frames: object) -> bytes:
        path = tmp_path / name
        soundfile.write(path, frames, 44_100, subtype=subtype, format=kind)
        return path.read_bytes()

    ours = pcm.frames(stem, bits, rounded=kind == "FLAC")

    assert written("ours", ours) == written("theirs", stem.T.numpy())


def test_floats_are_only_reordered() -> None:
    stem = edges()

    np.testing.assert_array_equal(pcm.frames(stem, "32f", rounded=False), stem.T.numpy())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_one_sample_that_is_not_finite_is_found(bad: float) -> None:
    signal = torch.zeros(2, 1000)
    signal[1, 500] = bad

    assert not finite(signal)
    assert finite(torch.full((2, 1000), 1e38))  # only their sum overflows
