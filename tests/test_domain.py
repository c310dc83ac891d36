"""Estimates and targets as magnitudes match those of the waveforms."""

from typing import Any

import pytest
import torch

from demixing.errors import ConfigError
from demixing.networks import trainable
from demixing.networks.stft import stft
from demixing.training import domain, losses
from demixing.training.config import MAGNITUDES, PROJECTIONS, WAVEFORMS

STEMS = ("drums", "bass", "rest")


@pytest.fixture
def network() -> Any:
    widths = [2, 4, 4, 4, 4, 4]
    return trainable.build("shared_unet", STEMS, {"widths": widths}).eval()


@pytest.fixture
def stems() -> torch.Tensor:
    return torch.randn(2, 3, 2, 40 * 1024, generator=torch.Generator().manual_seed(1))


def test_estimates_are_magnitudes_of_the_masked_mixture(network: Any, stems: torch.Tensor) -> None:
    mixture = stems.sum(dim=1)
    answer = domain.of(network, MAGNITUDES)(mixture)

    powers = network.powers(stft(mixture, 4096, 1024)[..., :1024, :].abs().transpose(-1, -2))
    masks = powers / powers.sum(dim=1, keepdim=True)
    expected = stft(mixture, 4096, 1024)[:, None, :, :1024].abs().transpose(-1, -2) * masks
    torch.testing.assert_close(answer, expected.flatten(-2))
    # All stems share the mixture.
    torch.testing.assert_close(answer.sum(dim=1), network.input_magnitudes(mixture))


def test_targets_are_on_the_same_grid_and_have_no_gradient(
    network: Any, stems: torch.Tensor
) -> None:
    truth = domain.of(network, MAGNITUDES).truth(stems.requires_grad_())

    expected = stft(stems, 4096, 1024)[..., :1024, :].abs().transpose(-1, -2).flatten(-2)
    torch.testing.assert_close(truth, expected.detach())
    assert not truth.requires_grad


def test_projections_are_the_best_that_masks_can_reach(network: Any, stems: torch.Tensor) -> None:
    truth = domain.of(network, PROJECTIONS).truth(stems)

    spectra = stft(stems, 4096, 1024)[..., :1024, :].transpose(-1, -2).flatten(-2)
    mixture = spectra.sum(dim=1)
    torch.testing.assert_close(truth.sum(dim=1), mixture.abs())
    # With any real mask the error of the spectrum is that of the projection, and a constant.
    masks = torch.rand(truth.shape, generator=torch.Generator().manual_seed(2))
    errors = (masks * mixture[:, None] - spectra).abs().square()
    constant = spectra.abs().square() - truth.square()
    expected = (masks * mixture.abs()[:, None] - truth).square() + constant
    torch.testing.assert_close(errors, expected, atol=1e-2, rtol=1e-3)


def test_frames_are_the_time_of_a_loss(network: Any, stems: torch.Tensor) -> None:
    stems[:, 0, :, : 20 * 1024] = 0  # a stem that begins late
    truth = domain.of(network, MAGNITUDES).truth(stems)

    early, late = losses.build("wave_l1").blocks(torch.zeros_like(truth), truth, 2)[0, 0]
    assert early < 0.1 * late


def test_waveforms_are_those_of_the_network(network: Any, stems: torch.Tensor) -> None:
    plain = domain.of(network, WAVEFORMS)

    torch.testing.assert_close(plain(stems.sum(dim=1)), network(stems.sum(dim=1)))
    assert plain.truth(stems) is stems


def test_a_network_without_magnitudes_is_refused() -> None:
    network = trainable.build("band_split", STEMS, {"layers": 1, "features": 8})

    with pytest.raises(ConfigError, match="'waveforms' for a network that estimates no magnitudes"):
        domain.of(network, MAGNITUDES)
