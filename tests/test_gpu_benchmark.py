"""The program that a lent GPU is measured with: it must work at the first try."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import __main__, gpu
from tests.fake_streams import FakeGpu


def measured(
    tmp_path: Path, *words: str, status: int = 0, gpu_of: Any = lambda device: None
) -> list[dict[str, Any]]:
    """Rows of the file that the program writes."""
    path = tmp_path / "gpu.json"
    where = ["--device", "cpu", "--seconds", "0", "--out", str(path)]
    assert gpu.main([*where, *words], gpu_of) == status
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["machine"].startswith("device: CPU")
    return list(found["rows"])


@pytest.mark.engine
def test_separators_are_measured_in_both_precisions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = measured(tmp_path, "tfc_tdf_v3", gpu_of=lambda device: FakeGpu(direct=True))

    assert [row["precision"] for row in rows] == ["fp32", "bf16"]
    assert rows[0]["agreement_db"] > 100
    assert rows[1]["agreement_db"] > 20
    for row in rows:
        assert all(row[key] > 0 for key in ("one", "many", "overlap", "graphs"))
        assert row["note"] == "random weights"
        assert row["peak_bytes"] is None
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("device: CPU")
    assert len({line.count("|") for line in printed[1:]}) == 1
    assert len(printed) == 1 + 2 + 2


@pytest.mark.engine
def test_training_steps_are_measured(tmp_path: Path) -> None:
    run = tmp_path / "small.toml"
    run.write_text(
        'stems = ["vocals", "drums"]\nprecision = "bf16"\n'
        '[network]\nname = "shared_unet"\noptions = { widths = [2, 4, 4, 4, 4, 4] }\n',
        encoding="utf-8",
    )
    cpu = torch.device("cpu")
    bench = gpu.Bench(
        device=cpu, gpu=None, seconds=0, end_s=0, build=lambda _: missing(), tiny=True
    )

    (row,) = gpu.training(bench, run)

    assert (row.name, row.kind, row.precision) == ("small", "train", "bf16")
    assert row.agreement_db is not None
    assert row.agreement_db > 60
    assert row.steps is not None
    assert row.steps > 0
    assert row.note == "shared_unet, batch 2"


def missing() -> Any:
    raise AssertionError("training builds no separator")


def test_what_fails_or_has_no_time_is_a_row_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def separating(bench: gpu.Bench, name: str) -> Iterator[gpu.Row]:
        yield gpu.Row(name=name, kind="separate", one=1.0)
        raise RuntimeError("CUDA error: an illegal memory access\nand more")

    monkeypatch.setattr(gpu, "separating", separating)

    rows = measured(tmp_path, "scnet", status=1)
    late = measured(tmp_path, "scnet", "mdx_unet", "--minutes", "0")

    assert [row["note"] for row in rows] == [
        "",
        "failed: RuntimeError: CUDA error: an illegal memory access",
    ]
    assert [row["note"] for row in late] == ["left out: no time is left"] * 2


def test_everything_has_a_case_and_the_most_important_is_first() -> None:
    bench: Any = None

    names = list(gpu.cases(bench, []))

    assert names[: len(gpu.FIRST)] == list(gpu.FIRST)
    assert len(names) == len(set(names)) >= 20


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["gpu"]) == 2
    assert capsys.readouterr().err == (
        "gpu: this machine has no device 'cuda'; choose one that it has, such as cpu\n"
    )


def test_a_name_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--device", "cpu", "scnot"]) == 2
    assert "cannot measure scnot; have: bandit" in capsys.readouterr().err
