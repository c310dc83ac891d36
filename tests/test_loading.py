"""Networks take over the weights of a file without drawing random ones first."""

import pytest
import torch
from torch import Tensor, nn

from demixing.errors import CheckpointError
from demixing.networks.upsample2 import Resample
from demixing.weights import loading

SEEN: list[str] = []


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(4, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.resample = Resample(1, 2)
        SEEN.append(self.convolution.weight.device.type)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(x))  # type: ignore[no-any-return]


def state() -> dict[str, Tensor]:
    """Weights as in some published files: contiguous, and without step counters."""
    whole = {key: value.contiguous() for key, value in Net().state_dict().items()}
    return {key: value for key, value in whole.items() if "num_batches" not in key}


def test_a_network_is_built_without_memory_and_filled() -> None:
    weights = state()
    before = torch.random.get_rng_state()

    network = loading.load(Net, weights, "net")

    assert SEEN[-1] == "meta"
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not any(value.is_meta for value in (*network.parameters(), *network.buffers()))
    assert all(torch.equal(network.state_dict()[key], value) for key, value in weights.items())
    assert not network.training


def test_weights_keep_the_memory_format_of_the_network() -> None:
    network = loading.load(Net, state(), "net")

    weight = network.convolution.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


def test_constants_that_no_file_contains_are_those_of_a_network_with_memory() -> None:
    network = loading.load(Net, state(), "net")

    assert torch.equal(network.resample.kernel, Resample(1, 2).kernel)


def test_weights_of_another_network_are_refused() -> None:
    wrong = state() | {"norm.weight": torch.zeros(5)}

    with pytest.raises(CheckpointError, match="1 of another shape"):
        loading.load(Net, wrong, "net")
