"""Fused layers compute what the separate steps do."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks import fused
from demixing.networks.convolutions import Convolution, GatedConvolution
from demixing.networks.norms import whole_norm

Noise = Callable[..., Tensor]

PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "gelu": F.gelu,
    "sigmoid": torch.sigmoid,
}


@pytest.fixture(params=["fused", "steps"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with the private operations, where there are any, and without them."""
    if request.param == "steps":
        monkeypatch.setattr(fused, "FOUND", False)
    return str(request.param)


@pytest.fixture
def noise() -> Noise:
    generator = torch.Generator().manual_seed(7)
    return lambda *shape: torch.randn(*shape, generator=generator)


def assert_near(got: Tensor, expected: Tensor) -> None:
    loose = 0.03 if got.dtype == torch.bfloat16 else 2e-6
    assert got.shape == expected.shape
    assert (got.float() - expected).abs().max() <= loose * expected.abs().max()


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("activation", fused.ALGORITHMS)
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(6, 10, (8, 1), (4, 1), (2, 0)),
        nn.Conv2d(6, 10, 3, padding=1, bias=False),
        nn.Conv2d(6, 10, 1, groups=2),
        nn.Conv2d(6, 10, (1, 3), padding=(0, 2), dilation=(1, 2)),
        nn.ConvTranspose2d(6, 10, (8, 1), (4, 1), (2, 0)),
    ],
    ids=str,
)
@torch.inference_mode()
def test_a_convolution_and_its_activation(
    noise: Noise, layer: Any, activation: str, dtype: torch.dtype
) -> None:
    x = noise(2, 6, 17, 13)

    got = Convolution(layer, dtype)(x, activation)

    assert_near(got, PLAIN[activation](layer(x)))
    assert got.dtype == dtype


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("activation", fused.ALGORITHMS)
@torch.inference_mode()
def test_a_linear_layer_and_its_activation(
    noise: Noise, activation: str, dtype: torch.dtype
) -> None:
    x, weight, bias = noise(2, 7, 12), noise(5, 12), noise(5)

    got = fused.linear(x.to(dtype), weight.to(dtype), bias.to(dtype), activation)

    assert_near(got, PLAIN[activation](F.linear(x, weight, bias)))


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_a_linear_layer_and_a_sum(noise: Noise, dtype: torch.dtype) -> None:
    x, weight, bias, plus = noise(2, 7, 12), noise(5, 12), noise(5), noise(2, 7, 5)
    before = plus.to(dtype)

    got = fused.linear(x.to(dtype), weight.to(dtype), bias.to(dtype), plus=before)

    assert_near(got, F.linear(x, weight, bias) + plus)
    assert torch.equal(before, plus.to(dtype)), "the summand was changed"


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layer", [nn.Conv1d(4, 6, 1), nn.Conv1d(4, 6, 3, bias=False)], ids=str)
@torch.inference_mode()
def test_a_convolution_and_its_gates(noise: Noise, layer: Any, dtype: torch.dtype) -> None:
    x = noise(2, 4, 11)

    got = GatedConvolution(layer, dtype)(x[:, :, None])[:, :, 0]

    assert_near(got, F.glu(layer(x), dim=1))


def test_operations_with_other_arguments_are_not_used(
    noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Tensor:
        raise RuntimeError("mkldnn::_linear_pointwise() is missing value for argument 'unary_attr'")

    monkeypatch.setattr(fused, "_mapped", refuse)
    fused._accepted.cache_clear()
    x, weight, bias = noise(3, 4), noise(2, 4), noise(2)
    try:
        got = fused.linear(x, weight, bias)
    finally:
        fused._accepted.cache_clear()

    torch.testing.assert_close(got, F.linear(x, weight, bias))


@pytest.mark.skipif(not fused.FOUND, reason="this version of torch lacks the operations")
def test_operations_of_this_version_accept_the_arguments() -> None:
    assert fused._accepted()


def test_gradients_are_not_lost(noise: Noise) -> None:
    x = noise(1, 3, 4).requires_grad_()

    fused.linear(x, noise(2, 4), noise(2)).sum().backward()  # type: ignore[no-untyped-call]

    assert x.grad is not None
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("offset", [0, 30])
def test_one_group_of_positions_and_channels(noise: Noise, offset: int) -> None:
    norm = nn.GroupNorm(1, 6).requires_grad_(requires_grad=False)
    norm.weight.copy_(noise(6))
    norm.bias.copy_(noise(6))
    x = noise(3, 500, 6) + offset

    expected = norm(x.double().transpose(1, 2).float()).transpose(1, 2)

    torch.testing.assert_close(whole_norm(norm, x), expected, rtol=1e-5, atol=2e-5)
