"""Preflight runs a submission with one planted fault, in the grader's sandbox, and names it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluator.errors import EvaluationError
from evaluator.grading.sandbox import Sandbox
from tests.fake_separator import EDGES_HZ
from tests.small_repository import SmallRepository, clean

ROOT = Path(__file__).parents[1]
RATE_HZ = 44_100
SAMPLES = 50_000


def no_sandbox() -> str:
    try:
        Sandbox(ROOT).check()
    except EvaluationError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.skipif(bool(no_sandbox()), reason=no_sandbox() or "works")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song of four bands of noise, at four places between left and right."""
    folder = tmp_path_factory.mktemp("songs")
    rng = np.random.default_rng(0)
    frequencies = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)
    stems = {}
    for place, (stem, (low, high)) in zip((0.3, 0.4, 0.6, 0.7), EDGES_HZ.items(), strict=True):
        spectrum = np.fft.rfft(rng.standard_normal((SAMPLES, 2)), axis=0)
        spectrum[(frequencies < low) | (frequencies >= high)] = 0
        noise = np.fft.irfft(spectrum, SAMPLES, axis=0)
        middle = noise[:, :1] + 0.5 * noise[:, 1:] * [[1, -1]]
        stems[stem] = 0.04 * middle * [place, 1 - place] / noise.std()
    (folder / "song").mkdir()
    for stem, audio in stems.items():
        soundfile.write(folder / "song" / f"{stem}.wav", audio, RATE_HZ)
    soundfile.write(folder / "song" / "mixture.wav", sum(stems.values()), RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> SmallRepository:
    made = SmallRepository(tmp_path_factory.mktemp("submission") / "repository")
    shutil.copy(
        Path(__file__).with_name("fake_separator.py"),
        made.folder / "my_submission" / "aicrowd_wrapper.py",
    )
    made.commit()
    return made


def preflight(
    repository: SmallRepository, data: Path, output: Path, **env: str
) -> tuple[int, set[str]]:
    """Run it; returns the status and the names of the checks that found something."""
    report = output / "report.json"
    output.mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "evaluator", "preflight", "--data", str(data)),
            *("--output", str(output / "grade"), "--json", str(report), "--per-second", "6"),
            *(part for key, value in env.items() for part in ("--env", f"{key}={value}")),
        ],
        cwd=repository.folder,
        env=clean(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, {one["check"] for one in json.loads(report.read_text())["findings"]}


def test_a_clean_submission_passes(repository: SmallRepository, data: Path, tmp_path: Path) -> None:
    assert preflight(repository, data, tmp_path / "one") == (0, set())


@pytest.mark.parametrize(
    ("fault", "checks"),
    [
        (
            "{s: np.where(np.arange(len(a))[:, None] == 9, np.nan, a) for s, a in stems.items()}",
            {"not_finite"},
        ),
        ("{s: a[:, ::-1] for s, a in stems.items()}", {"channels"}),
        ("{**stems, 'bass': stems['vocals'], 'vocals': stems['bass']}", {"stems"}),
        ("{s: np.roll(a, 1, axis=0) for s, a in stems.items()}", {"delay"}),
        ("{s: 0.5 * a for s, a in stems.items()}", {"gain"}),
        ("{s: 40 * a for s, a in stems.items()}", {"clipped", "gain"}),
        ("{s: a.astype(np.float16) for s, a in stems.items()}", {"answers", "form"}),
        ("{s: a[:-1] for s, a in stems.items()}", {"answers", "form"}),
        ("{s: a[:, :1] for s, a in stems.items()}", {"answers", "form"}),
        ("{s: a for s, a in stems.items() if s != 'bass'}", {"answers", "form"}),
    ],
)
def test_a_planted_fault_is_named(
    repository: SmallRepository, data: Path, tmp_path: Path, fault: str, checks: set[str]
) -> None:
    missing = "if s != 'bass'" in fault  # no shape is wrong then

    status, found = preflight(repository, data, tmp_path / "one", FAULT=fault)

    assert status == 1
    assert found == checks - ({"form"} if missing else set())


@pytest.mark.parametrize(
    ("env", "checks"),
    [
        ({"RATE": "48000"}, {"answers", "form"}),
        ({"SLEEP_S": "30"}, {"song_time"}),
        ({"HOST": "weights.example.org"}, {"network"}),
    ],
)
def test_a_fault_of_the_run_is_named(
    repository: SmallRepository, data: Path, tmp_path: Path, env: dict[str, str], checks: set[str]
) -> None:
    assert preflight(repository, data, tmp_path / "one", **env) == (1, checks)


def test_a_grade_that_there_was_can_be_looked_at(
    repository: SmallRepository, data: Path, tmp_path: Path
) -> None:
    preflight(repository, data, tmp_path / "one", FAULT="{s: -a for s, a in stems.items()}")
    command = [sys.executable, "-m", "evaluator", "preflight"]

    done = subprocess.run(
        [*command, "--graded", str(tmp_path / "one" / "grade")],
        cwd=repository.folder,
        env=clean(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stdout.startswith("fault [gain] level of all stems in 'song' (upside down)")
