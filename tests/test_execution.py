"""Precision is low only on request, or where that is fast and known to be harmless."""

import contextlib
import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from demixing.errors import ConfigError
from demixing.machine import device
from demixing.networks import execution


def flags(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(execution, "cpu_flags", lambda: frozenset(names))


@pytest.mark.parametrize(
    ("precision", "change_db", "flag", "expected"),
    [
        ("fp32", 0.0, "avx512_bf16", torch.float32),
        ("bf16", None, "sse2", torch.bfloat16),
        ("auto", 0.01, "avx512_bf16", torch.bfloat16),
        ("auto", -0.004, "amx_bf16", torch.bfloat16),
        ("auto", 0.011, "avx512_bf16", torch.float32),
        ("auto", None, "avx512_bf16", torch.float32),
        ("auto", 0.0, "avx2", torch.float32),
    ],
)
def test_the_precision(
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    change_db: float | None,
    flag: str,
    expected: torch.dtype,
) -> None:
    flags(monkeypatch, flag)

    assert execution.choose(precision, change_db=change_db).dtype == expected


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be one of fp32, bf16, auto, got 'fp16'"):
        execution.choose("fp16")


def test_choosing_leaves_the_number_of_threads_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)

    execution.choose()

    assert torch.get_num_threads() == before + 1
    torch.set_num_threads(before)


def cast(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    return network.to(dtype)


def test_input_of_a_network_has_its_type_and_output_is_float32() -> None:
    given: list[torch.dtype] = []

    class Notes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            given.append(x.dtype)
            return x

    how = execution.Execution(device=torch.device("cpu"), dtype=torch.bfloat16)

    answers = [how.prepare(Notes(), cast, cast=low)(torch.ones(2, 3)) for low in (True, False)]

    assert given == [torch.bfloat16, torch.float32]
    assert [answer.dtype for answer in answers] == [torch.float32] * 2


def test_leaving_the_gpu_moves_the_network() -> None:
    network = nn.Linear(2, 2, device="meta")
    prepared = execution.PreparedNetwork(network, torch.device("meta"), torch.float32)
    moved: list[object] = []
    network.to = moved.append  # type: ignore[assignment, method-assign]

    prepared.to_cpu()

    assert moved == ["cpu"]
    assert prepared._device == torch.device("cpu")


def test_copies_to_a_gpu_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of events where there is no GPU: all of torch.cuda is a stand-in."""
    events: list[str] = []

    class Stream:
        def __init__(self, name: object = "copies") -> None:
            self.name = name if isinstance(name, str) else "copies"

        def record_event(self) -> str:
            events.append(f"{self.name} reaches {len(events)}")
            return str(len(events) - 1)

        def wait_event(self, event: str) -> None:
            events.append(f"{self.name} waits for {event}")

        def synchronize(self) -> None:
            events.append(f"we wait for {self.name}")

    empty = torch.empty
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("network"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch, "empty", lambda shape, pin_memory: empty(shape))
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(Tensor, "record_stream", lambda tensor, stream: None)
    prepared = execution.PreparedNetwork(
        cast(nn.Tanh(), torch.float32), torch.device("cpu"), torch.float32
    )
    batch = torch.arange(6.0).reshape(3, 2)

    answer = prepared._overlapped(batch)

    torch.testing.assert_close(answer, batch.tanh())
    assert events == [
        "copies reaches 0",
        "copies reaches 1",
        "network waits for 0",
        "network reaches 3",
        "copies waits for 3",
        "network waits for 1",
        "network reaches 6",
        "copies waits for 6",
        "we wait for copies",
    ]


def test_device_and_precision_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    execution._announce.cache_clear()

    with caplog.at_level(logging.INFO):
        for precision in ("fp32", "fp32", "bf16"):
            execution.choose(precision)

    where = device.described(device.chosen_device())
    assert [record.getMessage() for record in caplog.records if record.levelname == "INFO"] == [
        f"networks run on {where} in float32",
        f"networks run on {where} in bfloat16",
    ]


@pytest.mark.parametrize("settings", [{}, {"DEMIX_DEVICE": "cpu"}, {"CUDA_VISIBLE_DEVICES": ""}])
def test_a_gpu_that_cannot_be_used_is_a_warning_unless_the_cpu_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    settings: dict[str, str],
) -> None:
    """As in an image with a newer CUDA than the driver of the machine supports."""

    def fails() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 1)\nUpdate")

    monkeypatch.setattr(device, "NVIDIA", tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", fails)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    execution._announce.cache_clear()

    execution.choose()

    said = (
        "there is a GPU, but networks run on the CPU: The NVIDIA driver on your system is too old"
    )
    assert (said in caplog.text) is (not settings)
    assert "Update" not in caplog.text
