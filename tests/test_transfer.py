"""Batches on their way to a GPU and back: nothing is read too early, or overwritten too early."""

import itertools
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from demixing.networks.execution import PreparedNetwork
from demixing.networks.transfer import Overlapped
from demixing.schedule.fallback import Fallback, infer
from demixing.separator import Chunking
from tests.fake_streams import COMPUTE, INWARD, OUTWARD, FakeGpu

STREAMS = (INWARD, OUTWARD, COMPUTE)
WAYS = [way for count in range(4) for way in itertools.combinations(STREAMS, count)]


def stems_of(x: Tensor) -> Tensor:
    """Two stems of a mixture: ``(b, 2, t)`` to ``(b, 2, 2, t)``."""
    return torch.stack([x.tanh(), 2 * x], dim=1)


def batch(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 2, 5, generator=torch.Generator().manual_seed(seed))


def both(gpu: FakeGpu, count: int = 9, parts: int = 4) -> list[tuple[Tensor, Tensor]]:
    """Outputs and the expected ones of two batches, the second with the first one's buffers."""
    overlapped = Overlapped(gpu.network(stems_of), gpu, torch.float32, parts)
    pairs = []
    for seed in range(2):
        x = batch(count, seed)
        pairs.append((overlapped(x.clone()), stems_of(x)))
    return pairs


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 9, 16])
def test_the_output_is_that_of_the_network(way: Sequence[str], count: int) -> None:
    for output, expected in both(FakeGpu(way), count):
        assert torch.equal(output, expected)


@pytest.mark.parametrize(
    "missing",
    [(COMPUTE, INWARD), (INWARD, COMPUTE), (OUTWARD, COMPUTE)],
    ids="{0[0]} does not wait for {0[1]}".format,
)
def test_the_stand_in_finds_every_missing_wait(missing: tuple[str, str]) -> None:
    wrong = 0
    for way in WAYS:
        gpu = FakeGpu(way)
        gpu.ignore_waits = {missing}
        wrong += not all(torch.equal(output, expected) for output, expected in both(gpu))

    assert wrong


def test_the_stand_in_finds_that_the_host_does_not_wait() -> None:
    gpu = FakeGpu()
    gpu.ignore_synchronize = True

    assert not all(torch.equal(output, expected) for output, expected in both(gpu))


def test_the_next_part_is_copied_before_a_part_is_computed() -> None:
    gpu = FakeGpu()

    both(gpu, count=4)

    steps = [step for step in gpu.said if not step.endswith("waits")][:12]
    assert steps == [
        "inward copies",
        "inward copies",
        "network starts",
        "outward copies",
        "inward copies",
        "network starts",
        "outward copies",
        "inward copies",
        "network starts",
        "outward copies",
        "network starts",
        "outward copies",
    ]


def test_input_has_the_type_of_the_network_and_output_is_float32() -> None:
    gpu, given = FakeGpu(), []

    def network(x: Tensor) -> Tensor:
        given.append(x.dtype)
        return x

    output = Overlapped(gpu.network(network), gpu, torch.bfloat16)(batch(4))

    assert set(given) == {torch.bfloat16}
    assert output.dtype == torch.float32


def test_buffers_follow_the_shape_of_the_batch() -> None:
    gpu = FakeGpu()
    overlapped = Overlapped(gpu.network(stems_of), gpu, torch.float32)

    for count in (8, 3, 8, 1):
        x = batch(count)[..., : 5 - count % 2]
        with torch.inference_mode(mode=count == 3):
            assert torch.equal(overlapped(x), stems_of(x))


def test_after_an_error_nothing_is_under_way_and_the_network_runs_again() -> None:
    gpu = FakeGpu(memory=1)
    overlapped = Overlapped(gpu.network(stems_of), gpu, torch.float32)

    with pytest.raises(RuntimeError, match="out of memory"):
        overlapped(batch(8))

    assert gpu.released == 1
    assert not any(stream.queue for stream in gpu.streams)
    assert not overlapped._buffers
    assert torch.equal(overlapped(batch(4)), stems_of(batch(4)))


class Stems(nn.Module):
    """A network that can be on a stand-in for a GPU, or not."""

    def __init__(self, gpu: FakeGpu) -> None:
        super().__init__()
        self.gpu, self.places = gpu, ["gpu"]

    def forward(self, x: Tensor) -> Tensor:
        if self.places[-1] == "gpu" and len(x) > self.gpu.memory:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return stems_of(x)

    def to(self, *where: object, **_: object) -> "Stems":
        self.places.append(str(where[0]))
        return self


def prepared(gpu: FakeGpu) -> PreparedNetwork:
    return PreparedNetwork(Stems(gpu), torch.device("cpu"), torch.float32, gpu)


def test_a_single_chunk_is_copied_plainly() -> None:
    gpu = FakeGpu(direct=True)

    assert torch.equal(prepared(gpu)(batch(1)), stems_of(batch(1)))
    assert not gpu.said


def test_kernels_are_looked_for_only_where_a_shape_repeats() -> None:
    gpu = FakeGpu(direct=True)
    network = prepared(gpu)

    for count in (4, 4, 3, 4):
        network(batch(count))

    assert gpu.tuned == [False, True, False, False]


def test_without_memory_a_network_moves_to_the_cpu_and_leaves_the_gpu_alone() -> None:
    gpu = FakeGpu(memory=0, direct=True)
    network = prepared(gpu)
    for count in (1, 8):
        with pytest.raises(RuntimeError, match="out of memory"):
            network(batch(count))

    network.to_cpu()

    released, gpu.said = gpu.released, []
    assert torch.equal(network(batch(8)), stems_of(batch(8)))
    assert (gpu.released, gpu.said) == (released, [])


def test_a_call_beside_one_that_is_late_does_not_share_its_buffers() -> None:
    gpu = FakeGpu(direct=True)
    network = prepared(gpu)

    with network._busy:  # as held by a thread that was left behind
        assert torch.equal(network(batch(8)), stems_of(batch(8)))

    assert not gpu.said
    network(batch(8))
    assert gpu.said


def test_it_runs_in_inference_mode_as_in_the_engine() -> None:
    gpu = FakeGpu(direct=True)

    class Separator:
        separate = staticmethod(prepared(gpu))

    for seed in range(2):
        assert torch.equal(infer(Separator, batch(8, seed)), stems_of(batch(8, seed)))  # type: ignore[arg-type]


class Stand:
    """A separator of the network above, and a budget of any time."""

    stems, sample_rate_hz = ("quiet", "loud"), 44_100
    chunking = Chunking(chunk=5, hop=5)

    def __init__(self, gpu: FakeGpu) -> None:
        self.network = prepared(gpu)
        self.to_cpu = self.network.to_cpu
        self.deadline = SimpleNamespace(clock=time.monotonic)

    def separate(self, chunks: Tensor) -> Tensor:
        return self.network(chunks)

    def allows(self, *_: object) -> bool:
        return True

    def timeout_s(self, *_: object) -> float:
        return 60.0

    def done(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("memory", "said"),
    [
        (4, []),
        (1, ["batches are made smaller"]),
        (0, ["batches are made smaller", "it continues without the GPU"]),
    ],
)
def test_without_memory_batches_become_smaller_and_then_the_cpu_goes_on(
    memory: int, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    gpu = FakeGpu(memory=memory, direct=True)
    stand: Any = Stand(gpu)
    fallback = Fallback(
        name="a", inner=stand, budget=stand, turn=0, run=lambda call, _: call(), batch=16
    )

    answer = fallback.answer(batch(16))

    assert torch.equal(answer.stems, stems_of(batch(16)))
    assert fallback.missing == 0
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == len(said)
    assert all(words in message for words, message in zip(said, messages, strict=True))
