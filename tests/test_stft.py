"""The inverse STFT agrees with torch's, and keeps gradients."""

import pytest
import torch
from torch import Tensor

from demixing.networks.stft import frames_of, from_frames, istft, overlapped, stft
from tools.golden.agreement import agreement_db


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def plain(spectrum: Tensor, frame: int, hop: int, samples: int) -> Tensor:
    window = torch.hann_window(frame)
    audio = torch.istft(spectrum.flatten(0, -3), frame, hop, window=window, length=samples)
    return audio.reshape(*spectrum.shape[:-2], samples)


@pytest.mark.parametrize(("frame", "hop"), [(64, 16), (64, 14), (96, 16), (120, 16), (64, 32)])
@pytest.mark.parametrize("samples", [96, 991, 1000])
@pytest.mark.parametrize("bins_last", [True, False])
@pytest.mark.parametrize("block", [1, 1000, 2**18])
def test_the_inverse_agrees_with_that_of_torch(
    frame: int, hop: int, samples: int, bins_last: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demixing.networks.stft.BLOCK", block)
    spectrum = stft(noise(2, 3, samples), frame, hop)
    # Not the spectrum of a signal, as a network's output.
    spectrum = spectrum * noise(*spectrum.shape).abs()
    spectrum = spectrum if bins_last else spectrum.contiguous()

    audio = istft(spectrum, frame, hop, samples)

    assert audio.shape == (2, 3, samples)
    assert agreement_db(plain(spectrum, frame, hop, samples), audio) > 120


def test_frames_without_padding_are_inverted_also_at_the_ends() -> None:
    audio = noise(2, 2, 1024)

    again = from_frames(frames_of(audio, 64, 16), 64, 16)

    assert again.shape == audio.shape
    # The windows nearly vanish in the first samples.
    torch.testing.assert_close(again[..., 1:], audio[..., 1:], rtol=0, atol=1e-3)
    assert agreement_db(audio[..., 16:], again[..., 16:]) > 110


def test_missing_upper_bins_are_zero() -> None:
    spectrum = stft(noise(2, 500), 64, 16)
    window = torch.hann_window(64)
    silent = spectrum.clone()
    silent[:, 20:] = 0

    torch.testing.assert_close(
        overlapped(spectrum[:, :20], window, 16), overlapped(silent, window, 16)
    )


def test_the_inverse_keeps_gradients() -> None:
    spectrum = stft(noise(1, 2, 500), 64, 16).requires_grad_()
    weights = noise(1, 2, 500)

    (ours,) = torch.autograd.grad((istft(spectrum, 64, 16, 500) * weights).sum(), spectrum)
    (theirs,) = torch.autograd.grad((plain(spectrum, 64, 16, 500) * weights).sum(), spectrum)

    torch.testing.assert_close(ours, theirs)
