"""Real weights separate real music, and the streaming driver agrees with a plain one."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import samples
from demixing import separators
from demixing.chunks.overlap_add import OverlapAdd
from demixing.errors import CheckpointError, ConfigError
from demixing.networks.spleeter_unet import SpleeterUNet, prepared
from demixing.separators.spleeter import STEMS, Spleeter
from demixing.weights import checkpoints
from tools.golden import seeded

pytestmark = pytest.mark.engine


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


def agreement_db(reference: Tensor, estimate: Tensor) -> float:
    """As above, but for references of any level."""
    error = (reference - estimate.double()).square().sum()
    return float(10 * torch.log10(reference.square().sum() / error))


@pytest.fixture(scope="module")
def mixture(falcon: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(falcon.values())).sum(dim=0)


@pytest.fixture(scope="module")
def stems(mixture: Tensor) -> Tensor:
    """Stems of the real multitrack, ``(2, 2, samples)``."""
    return streamed(spleeter(), mixture)


def test_real_vocals_keep_their_score(
    falcon: dict[str, Tensor], mixture: Tensor, stems: Tensor
) -> None:
    # With a grid of frames that starts 2048 samples later, the scores are 4.63 and 11.81.
    assert sdr_db(falcon["vocals"], stems[0]) == pytest.approx(5.178, abs=0.01)
    assert sdr_db(mixture - falcon["vocals"], stems[1]) == pytest.approx(12.357, abs=0.01)
    torch.testing.assert_close(stems.sum(dim=0), mixture, rtol=0, atol=1e-6)


def as_deezer(song: NDArray[np.float64], separator: Spleeter) -> NDArray[np.float64]:
    """Separate a whole song ``(2, samples)`` as Deezer's code does, sharing no code with ours.

    Its first frame ends where the song begins; networks get blocks of 512 frames, the last of
    which are silent; the window of the inverse is scaled by 2/3.
    """
    samples, window = song.shape[1], np.hanning(4097)[:-1]
    frames = -(-(samples + 4096) // 1024)
    padded = np.zeros((2, (frames - 1) * 1024 + 4096))
    padded[:, 4096 : 4096 + samples] = song
    starts = range(0, 1024 * frames, 1024)
    cut = np.stack([padded[:, start : start + 4096] * window for start in starts], axis=1)
    spectrum = np.fft.rfft(cut, axis=2)  # (2, frames, bins)
    inputs = np.zeros((2, -(-frames // 512) * 512, 1024), np.float32)
    inputs[:, :frames] = np.abs(spectrum[:, :, :1024])
    powers = [blockwise(inputs, network)[:, :frames] ** 2 for network in separator.networks]
    stems = []
    for power in powers:
        mask = (power + 1e-10 / len(powers)) / (sum(powers) + 1e-10)
        unseen = np.repeat(mask.mean(axis=2, keepdims=True), 1025, axis=2)
        pieces = np.fft.irfft(spectrum * np.concatenate([mask, unseen], axis=2), axis=2)
        total = np.zeros_like(padded)
        for start, piece in zip(starts, pieces.transpose(1, 0, 2), strict=True):
            total[:, start : start + 4096] += piece * window * 2 / 3
        stems.append(total[:, 4096 : 4096 + samples])
    return np.stack(stems)


def blockwise(inputs: NDArray[np.float32], network: Any) -> NDArray[np.float64]:
    """Magnitudes of a stem, 512 frames at a time."""
    blocks = torch.split(torch.from_numpy(inputs), 512, dim=1)
    with torch.inference_mode():
        answers = [network(block[None])[0] * block for block in blocks]
    return torch.cat(answers, dim=1).double().numpy()


def streamed(separator: Spleeter, song: Tensor) -> Tensor:
    """Separate ``(2, samples)`` on the path of a user's song."""
    overlap = OverlapAdd(separator)
    blocks = [overlap.push(block[None]) for block in torch.split(song, 70_000, dim=-1)]
    return torch.cat([*blocks, overlap.finish()], dim=-1)[0]


@pytest.mark.parametrize("samples", [1, 1023, 200_001, 520_192, 520_193])
def test_songs_of_any_length_are_separated_as_by_deezers_code(samples: int) -> None:
    separator = small(2)
    song = seeded.song(samples, seed=3)

    theirs = torch.from_numpy(as_deezer(song.double().numpy(), separator))

    for reference, stem in zip(theirs, streamed(separator, song), strict=True):
        assert agreement_db(reference, stem) > 100


def test_the_real_song_is_separated_as_by_deezers_code(mixture: Tensor, stems: Tensor) -> None:
    theirs = torch.from_numpy(as_deezer(mixture.double().numpy(), spleeter()))

    for reference, stem in zip(theirs, stems, strict=True):
        assert agreement_db(reference, stem) > 100


def test_the_mask_continues_above_the_input_of_the_network(stems: Tensor) -> None:
    spectrum = torch.fft.rfft(stems[0], dim=-1).abs()
    above = int(12_000 / 44_100 * stems.shape[-1])
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
    """A narrow model, with weights that are seeded by names."""
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

    answer = streamed(separator, seeded.song(511 * 1024 - 2048, seed=8))[..., 200_000:201_500]

    assert separator.stems == STEMS[stems]
    for index in range(stems):
        error = (expected[index] - answer[index]).square().sum()
        assert 10 * torch.log10(expected[index].square().sum() / error) > 100


@pytest.mark.parametrize("above", ["average", "silence"])
def test_stems_sum_to_the_mixture_or_stay_silent_above(above: str) -> None:
    separator = Spleeter(small(4).networks, above)
    chunk = seeded.song(131 * 1024)[None]

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
