"""Commands import, read and measure only what they need."""

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demixing.cli import jobs, unlimited
from demixing.machine import collector
from demixing.recipes import reading
from demixing.schedule import costs
from demixing.schedule.costs import Cost

ROOT = Path(__file__).parents[1]

PROGRAM = """
import gc, sys
from demixing.cli.main import main

UNWANTED = {"onnxruntime", "scipy", "sympy", "torch._dynamo"}

status = main(sys.argv[1:])
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000, "torch's objects are looked at again"

from torch import nn
from demixing.weights import loading

loading.empty(lambda: nn.ModuleList([nn.Embedding(3, 3), nn.Linear(3, 3), nn.LSTM(3, 3)]))
import demixing.separators.hpss

print(UNWANTED & sys.modules.keys())
sys.exit(status)
"""


@pytest.mark.process
def test_separating_without_networks_imports_torch_and_no_compiler_or_runtime(
    tmp_path: Path,
) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, np.full((4410, 2), 0.1), 44_100)
    words = ["separate", str(song), "--recipe", "mdx_silence", "-o", str(tmp_path / "stems")]

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "set()"


def test_costs_are_measured_only_for_a_deadline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measured: list[object] = []
    monkeypatch.setenv(costs.FILE_VARIABLE, str(tmp_path / "costs.json"))

    def measure(separator: object, **_: object) -> Cost:
        measured.append(separator)
        return Cost(chunk_s=1.0)

    monkeypatch.setattr(costs, "measure", measure)
    recipe = reading.load("mdx_equal_shares")

    jobs.built(jobs.How(recipe=recipe, bits="16", bitrate=None, best=False))
    assert not measured

    unlimited.ready(recipe)
    assert len(measured) == len(recipe.members)


def test_the_collector_rests_and_works_again(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(gc.isenabled()))
    monkeypatch.delitem(sys.modules, "torch", raising=False)

    with collector.resting():
        assert not gc.isenabled()

    assert gc.isenabled()
    assert frozen == [False]


def test_the_collector_works_on_if_torch_was_imported_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gc, "freeze", lambda: pytest.fail("all garbage so far would stay"))

    with collector.resting():
        assert "torch" in sys.modules
        assert gc.isenabled()
