"""Precision is low only on request, or where that is fast and known to be harmless."""

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from demixing.errors import ConfigError
from demixing.machine import cuda, device
from demixing.machine.linux import cpu_model
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
    with pytest.raises(ConfigError, match="must be one of fp32, bf16, fp16, auto, got 'fp8'"):
        execution.choose("fp8")


def test_float16_is_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "chosen_device", lambda: torch.device("cpu"))
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        execution.choose("fp16")

    monkeypatch.setattr(execution, "chosen_device", lambda: torch.device("mps"))
    assert execution.choose("fp16").dtype == torch.float16


@pytest.mark.parametrize(
    ("capability", "expected"), [((8, 0), torch.bfloat16), ((7, 5), torch.float32)]
)
def test_bfloat16_is_automatic_only_on_gpus_that_have_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: torch.dtype
) -> None:
    monkeypatch.setattr(execution, "chosen_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(execution, "headline", lambda device, precision: "device")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    flags = [
        (torch.backends.cudnn, "allow_tf32"),
        (torch.backends.cuda.matmul, "allow_tf32"),
        (torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction"),
        (torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction"),
    ]
    before = [getattr(where, name) for where, name in flags]

    chosen = execution.choose("auto", change_db=0.0)

    assert chosen == execution.Execution(device=torch.device("cuda"), dtype=expected)
    assert [getattr(where, name) for where, name in flags] == [False] * 4
    for (where, name), value in zip(flags, before, strict=True):
        setattr(where, name, value)


def test_apples_gpus_stay_at_float32_and_copy_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "chosen_device", lambda: torch.device("mps"))

    assert execution.choose("auto", change_db=0.0).dtype == torch.float32
    assert cuda.of(torch.device("mps")) is None


def test_the_first_line_of_the_log_names_the_gpu_and_its_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1 << 30, 139 << 30))

    line = device.headline(torch.device("cuda:0"), "bf16")

    assert line == "device: NVIDIA H200 (cuda:0), bf16; 139 GiB"


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


def test_device_and_precision_are_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    execution._announce.cache_clear()
    monkeypatch.setattr(execution, "chosen_device", lambda: torch.device("cpu"))

    with caplog.at_level(logging.INFO):
        for precision in ("fp32", "fp32", "bf16"):
            execution.choose(precision)

    threads = torch.get_num_threads()
    assert [record.getMessage() for record in caplog.records if record.levelname == "INFO"] == [
        f"device: CPU, {cpu_model()}, {threads} threads, fp32",
        f"device: CPU, {cpu_model()}, {threads} threads, bf16",
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
