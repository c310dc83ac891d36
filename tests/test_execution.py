"""Precision is low only where that is asked for, or fast and known to be harmless."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from my_submission import execution
from my_submission.errors import ConfigError


def flags(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(execution, "processor_flags", lambda: frozenset(names))


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


def cast(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    return network.to(dtype)


def test_a_network_that_cannot_be_compiled_runs_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(network: nn.Module) -> object:
        def run(x: Tensor) -> Tensor:
            raise RuntimeError("no compiler\nand much more")

        return run

    flags(monkeypatch)
    monkeypatch.setattr(torch, "compile", broken)
    run = execution.choose(compiled=True).prepare(nn.Identity(), cast)

    answers = [run(torch.ones(2)) for _ in range(2)]

    assert [answer.tolist() for answer in answers] == [[1.0, 1.0], [1.0, 1.0]]
    assert [record.getMessage() for record in caplog.records] == [
        "the network runs without compilation: no compiler"
    ]


def test_flags_are_read_as_linux_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("model name\t: Box\nflags\t\t: fpu avx512_bf16\nbugs\t: none\n")

    assert execution.processor_flags(path) == {"fpu", "avx512_bf16"}
    assert execution.processor_flags(tmp_path / "none") == frozenset()


def test_what_a_network_is_given_has_its_type_and_comes_back_as_float32() -> None:
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
    placed = execution.Placed(network, network, torch.device("meta"), torch.float32)
    moved: list[object] = []
    network.to = moved.append  # type: ignore[assignment, method-assign]

    placed.to_cpu()

    assert moved == ["cpu"]
    assert placed._device == torch.device("cpu")
