"""Networks become graphs only where that changes nothing."""

import contextlib
import logging
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor, nn

from demixing.machine import cuda
from demixing.networks import graphs
from demixing.networks.execution import PreparedNetwork
from demixing.networks.graphs import RUNS_BEFORE, Graphed
from tests.fake_streams import FakeGpu


def batch(count: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(count, 2, 5, generator=torch.Generator().manual_seed(seed))


def test_a_shape_that_repeats_is_recorded_once_and_repeated() -> None:
    gpu = FakeGpu()
    network = Graphed(torch.tanh, gpu)

    for seed in range(RUNS_BEFORE + 4):
        assert torch.equal(network(batch(seed=seed)), batch(seed=seed).tanh())

    assert gpu.captures == network.recorded == 1
    assert gpu.replays == 1 + 3, "the check, and what came after it"


def test_shapes_that_do_not_repeat_are_not_recorded() -> None:
    gpu = FakeGpu()
    network = Graphed(torch.tanh, gpu)

    for count in (1, 2, 3, 1, 2, 3):
        network(batch(count))

    assert not gpu.captures


def test_only_some_shapes_are_recorded() -> None:
    gpu = FakeGpu()
    network = Graphed(torch.tanh, gpu, most=2)

    for count in (1, 2, 3):
        for _ in range(RUNS_BEFORE + 2):
            assert torch.equal(network(batch(count)), batch(count).tanh())

    assert network.recorded == 2


def test_the_count_of_shapes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST_SHAPES", 3)
    network = Graphed(torch.tanh, FakeGpu())

    for count in range(1, 9):
        network(batch(count))

    assert len(network._seen) <= 3


@pytest.mark.parametrize(
    "gpu",
    [
        FakeGpu(capture_error=RuntimeError("operation not permitted when stream is capturing\nx")),
        FakeGpu(lies=True),
    ],
    ids=["cannot be recorded", "repeats something else"],
)
def test_a_network_that_cannot_be_a_graph_runs_without(
    gpu: FakeGpu, caplog: pytest.LogCaptureFixture
) -> None:
    network = Graphed(torch.tanh, gpu)

    with caplog.at_level(logging.INFO):
        for seed in range(RUNS_BEFORE + 4):
            assert torch.equal(network(batch(seed=seed)), batch(seed=seed).tanh())

    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("no CUDA graph: ")
    assert "\n" not in message
    assert (network.recorded, gpu.released) == (0, 1)


@pytest.mark.parametrize(("value", "count"), [("1", 1), ("0", 0), (None, 0)])
def test_graphs_must_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, value: str | None, count: int
) -> None:
    monkeypatch.delenv(graphs.VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(graphs.VARIABLE, value)
    gpu = FakeGpu(direct=True)
    network = PreparedNetwork(nn.Tanh(), torch.device("cpu"), torch.float32, gpu)

    for size in (1, 4):
        for _ in range(RUNS_BEFORE + 2):
            assert torch.equal(network(batch(size)), batch(size).tanh())

    assert gpu.captures == count


def test_graphs_are_given_up_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(graphs.VARIABLE, "1")
    gpu = FakeGpu(direct=True)

    class Large(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 4:
                raise RuntimeError("CUDA out of memory")
            return x

    network = PreparedNetwork(Large(), torch.device("cpu"), torch.float32, gpu)
    for _ in range(RUNS_BEFORE + 2):
        network(batch())
    assert network._graphed is not None
    assert network._graphed.recorded == 1

    with pytest.raises(RuntimeError, match="out of memory"):
        network(batch(64))

    assert network._graphed.recorded == 0


def test_a_graph_of_inference_mode_runs_in_any_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device", contextlib.nullcontext)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Mock)
    monkeypatch.setattr(torch.cuda, "graph", lambda *_, **__: contextlib.nullcontext())

    with torch.inference_mode():
        repeat = cuda.Cuda(torch.device("cuda")).capture(torch.tanh, batch())
    output = repeat(batch(seed=1))

    assert output.shape == batch().shape
