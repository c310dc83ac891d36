"""The band-split network has the declared inputs, outputs and receptive field."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from demixing.networks import trainable
from demixing.networks.temporal import LAYERS, Convolution
from demixing.networks.trainable.band_split import (
    FRAME,
    FRAME_HOP,
    ZONES,
    BandSplit,
    Zone,
    inputs_of,
    reach,
)

pytestmark = pytest.mark.engine

STEMS = ("bass", "drums", "other")

every_time = pytest.mark.parametrize("time", LAYERS)


def built(**options: Any) -> BandSplit:
    """A small network whose outputs depend on its inputs more than the initial ones do."""
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        network = trainable.build("band_split", STEMS, {"features": 8, "layers": 2, **options})
        assert isinstance(network, BandSplit)
        with torch.no_grad():
            for layer in network.answer:
                layer.weight.mul_(10)  # type: ignore[operator]
    return network.eval()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def separated(network: BandSplit, mixtures: Tensor) -> Tensor:
    with torch.inference_mode():
        answer: Tensor = network(mixtures)
    return answer


def test_zones_cover_all_bins_but_the_last() -> None:
    assert sum(zone.bands * zone.bins for zone in ZONES) == FRAME // 2
    assert all(zone.bins % zone.shared == 0 for zone in ZONES)


@pytest.mark.parametrize("stems", [3, 4])
def test_it_is_small_enough_for_a_cpu(stems: int) -> None:
    with torch.device("meta"):
        network = trainable.build("band_split", [str(stem) for stem in range(stems)])

    assert 1.5e6 < sum(weight.numel() for weight in network.parameters()) < 4e6


def test_it_starts_near_equal_shares_of_the_mixture() -> None:
    network = trainable.build("band_split", STEMS).eval()
    mixtures = noise(1, 2, 20_000)

    with torch.inference_mode():
        error = network(mixtures) - mixtures[:, None] / 3

    assert error.square().mean() < 0.1 * mixtures.square().mean()


def test_masks_that_copy_return_the_mixture() -> None:
    network = trainable.build("band_split", ("all",)).eval()
    assert isinstance(network, BandSplit)
    with torch.no_grad():
        for layer in network.answer:
            layer.weight.zero_()  # type: ignore[operator]
    mixtures = noise(1, 2, 20_000)

    stems = separated(network, mixtures)

    error = (stems[:, 0] - mixtures).square().sum() / mixtures.square().sum()
    assert error < 1 / FRAME, "all but the very last bin"


@every_time
def test_inverting_the_mixture_inverts_the_stems(time: str) -> None:
    network = built(time=time)
    mixtures = noise(1, 2, 20_000)

    torch.testing.assert_close(
        separated(network, -mixtures), -separated(network, mixtures), rtol=0, atol=1e-6
    )


def test_its_receptive_field_is_the_declared_one() -> None:
    network = built(layers=3)
    mixtures = noise(1, 2, 80 * FRAME_HOP)
    changed = mixtures.clone()
    changed[..., 40 * FRAME_HOP] += 1.0

    apart = separated(network, mixtures) != separated(network, changed)
    where = apart.any(dim=1).any(dim=1)[0].nonzero()[:, 0] - 40 * FRAME_HOP

    assert -reach(3) <= int(where.min()) < -reach(3) + 2 * FRAME_HOP
    assert reach(3) - 2 * FRAME_HOP < int(where.max()) <= reach(3)


def test_a_chunk_without_its_context_equals_that_part_of_the_whole_song() -> None:
    network = built(chunk_s=2.0)
    song = noise(1, 2, 4 * 44_100)
    start = 20 * network.step
    chunk = song[..., start : start + network.chunk]

    whole, part = separated(network, song), separated(network, chunk)

    kept = slice(network.context, network.chunk - network.context)
    expected = whole[..., start : start + network.chunk][..., kept]
    assert network.context >= reach(2)
    torch.testing.assert_close(part[..., kept], expected, rtol=0, atol=1e-6)


@every_time
@pytest.mark.parametrize("bf16", [False, True])
def test_every_temporal_module_learns(time: str, *, bf16: bool) -> None:
    network = built(time=time).train()
    mixtures = noise(2, 2, 12_000)

    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        stems = network(mixtures)
    (stems - noise(2, 3, 2, 12_000, seed=1)).abs().mean().backward()

    assert stems.dtype == torch.float32
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
        assert weight.grad.any() or weight.grad.numel() < 100, name


@pytest.mark.parametrize("dilation", [1, 4, 7, 16])
def test_temporal_convolution_matches_dilated_conv2d(dilation: int) -> None:
    layer = Convolution(16, dilation)
    x = noise(2, 45, 5, 16)
    plain = torch.nn.Conv2d(
        16, 16, (5, 1), padding=(2 * dilation, 0), dilation=(dilation, 1), groups=16
    )
    plain.load_state_dict(layer.over_time.state_dict())
    towards = noise(2, 45, 5, 16, seed=1)

    with torch.autocast("cpu", torch.bfloat16):
        answer = layer(x)
    (answer * towards).sum().backward()
    expected = plain(x.permute(0, 3, 1, 2).contiguous()).permute(0, 2, 3, 1)
    (expected * towards).sum().backward()

    torch.testing.assert_close(answer, expected)
    for ours, theirs in zip(layer.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@every_time
def test_gradients_in_bfloat16_are_near_those_in_float32(time: str) -> None:
    network = built(time=time, features=16, layers=4).train()
    mixtures, target = noise(2, 2, 60_000), noise(2, 3, 2, 60_000, seed=1)
    gradients = []

    for bf16 in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            stems = network(mixtures)
        network.zero_grad()
        (stems - target).square().mean().backward()
        gradients.append([weight.grad for weight in network.parameters()])

    for exact, coarse in zip(*gradients, strict=True):
        assert exact is not None
        assert coarse is not None
        assert (coarse - exact).norm() < 0.1 * exact.norm() + 1e-6


def test_the_inputs_are_as_defined() -> None:
    zone = Zone(bands=2, bins=4, shared=2)
    generator = torch.Generator().manual_seed(0)
    part = 50 * torch.randn(1, 2, 3, 8, generator=generator, dtype=torch.complex64)
    part[0, :, 1] = 0

    answer = inputs_of(part, zone)

    assert answer.shape == (1, 3, 2, 8)
    bins = part.numpy().astype(complex) / math.sqrt(3 / 8 * FRAME)
    for frame in range(3):
        for band in range(2):
            for pair in range(2):
                left, right = bins[0, :, frame, 4 * band + 2 * pair :][:, :2]
                one, other = ((np.abs(side) ** 2).mean() + 1e-8 for side in (left, right))
                coherence = (left * right.conj()).mean() / math.sqrt(one * other)
                expected = [one**0.15, other**0.15, coherence.real, coherence.imag]
                np.testing.assert_allclose(answer[0, frame, band, pair::2], expected, rtol=1e-4)


def test_outputs_are_matrices_for_both_channels() -> None:
    network = built()
    zone = Zone(bands=2, bins=4, shared=2)
    answer = noise(1, 3, 2, 3 * 8 * 2)
    part = torch.complex(noise(1, 2, 3, 8, seed=1), noise(1, 2, 3, 8, seed=2))

    stems = network._masked(answer, part, zone)

    assert stems.shape == (1, 3, 2, 3, 8)
    numbers = answer.reshape(3, 2, 3, 2, 2, 2, 2).numpy()
    for at in np.ndindex(3, 2, 3, 8):
        stem, channel, frame, bin_ = at
        own = numbers[frame, bin_ // 4, stem, channel, :, bin_ % 4 // 2]
        expected = ((own[:, 0] + 1j * own[:, 1]) * part[0, :, frame, bin_].numpy()).sum()
        assert complex(stems[(0, *at)]) == pytest.approx(complex(expected), rel=1e-4, abs=1e-6)
