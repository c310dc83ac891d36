"""Preflight runs a submission with planted faults, in the grader's sandbox, and names them.

A song may take two minutes for each of its seconds, so no machine is too slow for a good one.
"""

import contextlib
import dataclasses
import io
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from demixing.errors import EvaluationError
from demixing.evaluation import output_lock
from evaluator.__main__ import main
from evaluator.grading import session
from evaluator.grading.sandbox import Sandbox
from evaluator.preflight import FAULT, OUTPUT, RECORDS, command, findings
from evaluator.preflight.graded import Graded
from tests.fake_separator import EDGES_HZ
from tests.small_repository import SmallRepository, clean
from tests.waiting import begun

ROOT = Path(__file__).parents[1]
RATE_HZ = 44_100
SAMPLES = 50_000
PER_SECOND = 120
SHORT = RATE_HZ // PER_SECOND
"""Length of a song that may take one second, in samples."""


def no_sandbox() -> str:
    try:
        Sandbox(ROOT).check()
    except EvaluationError as error:
        return str(error)
    return ""


pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(bool(no_sandbox()), reason=no_sandbox() or "works"),
]


@pytest.fixture(autouse=True)
def no_git_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in clean().items():
        monkeypatch.setenv(name, value)


def write_song(folder: Path, samples: int = SAMPLES) -> None:
    """A song of four bands of noise with different panning."""
    rng = np.random.default_rng(0)
    frequencies = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)
    stems = {}
    for place, (stem, (low, high)) in zip((0.3, 0.4, 0.6, 0.7), EDGES_HZ.items(), strict=True):
        spectrum = np.fft.rfft(rng.standard_normal((SAMPLES, 2)), axis=0)
        spectrum[(frequencies < low) | (frequencies >= high)] = 0
        noise = np.fft.irfft(spectrum, SAMPLES, axis=0)
        middle = noise[:, :1] + 0.5 * noise[:, 1:] * [[1, -1]]
        stems[stem] = (0.04 * middle * [place, 1 - place] / noise.std())[:samples]
    folder.mkdir(parents=True)
    for stem, audio in {**stems, "mixture": sum(stems.values())}.items():
        soundfile.write(folder / f"{stem}.wav", audio, RATE_HZ)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    write_song(folder / "song")
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


def words(
    repository: SmallRepository,
    data: Path,
    output: Path,
    faults: Mapping[str, Any],
    more: Sequence[str] = (),
) -> list[str]:
    """Options that grade a submission with faults, by song."""
    return [
        *("--submission", str(repository.folder), "--data", str(data), "--output", str(output)),
        *("--per-second", str(PER_SECOND), "--env", f"FAULTS={json.dumps(faults)}", *more),
    ]


def preflight(options: Sequence[str]) -> tuple[int, list[str]]:
    """Run it in this process; return the status and the lines that it prints."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        pytest.raises(SystemExit) as ended,
    ):
        main(["preflight", *options])
    assert isinstance(ended.value.code, int)
    return ended.value.code, out.getvalue().splitlines()


def test_a_grade_at_work_is_left_alone(
    repository: SmallRepository,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with output_lock.held(tmp_path / "grade"):
        status, _ = preflight(words(repository, data, tmp_path / "grade", {}))

    assert status == 2
    assert "error: another run is at work in " in capsys.readouterr().err
    assert not list((tmp_path / "grade").iterdir())


def test_a_clean_submission_passes(repository: SmallRepository, data: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    options = words(repository, data, tmp_path / "grade", {}, ["--json", str(report)])

    with begun([sys.executable, "-m", "evaluator", "preflight", *options]) as process:
        said, complained = process.communicate()

    assert (process.returncode, said) == (0, ""), complained
    assert json.loads(report.read_text())["findings"] == []


FAULTS: Mapping[str, tuple[Mapping[str, Any], set[str]]] = {
    "not_finite": (
        {
            "stems": "{s: np.where(np.arange(len(a))[:, None] == 9, np.nan, a)"
            " for s, a in stems.items()}"
        },
        {"not_finite"},
    ),
    "channels": ({"stems": "{s: a[:, ::-1] for s, a in stems.items()}"}, {"channels"}),
    "stems": (
        {"stems": "{**stems, 'bass': stems['vocals'], 'vocals': stems['bass']}"},
        {"stems"},
    ),
    "delay": ({"stems": "{s: np.roll(a, 1, axis=0) for s, a in stems.items()}"}, {"delay"}),
    "gain": ({"stems": "{s: 0.5 * a for s, a in stems.items()}"}, {"gain"}),
    "clipped": ({"stems": "{s: 40 * a for s, a in stems.items()}"}, {"clipped", "gain"}),
    "float16": (
        {"stems": "{s: a.astype(np.float16) for s, a in stems.items()}"},
        {"answers", "form"},
    ),
    "too_short": ({"stems": "{s: a[:-1] for s, a in stems.items()}"}, {"answers", "form"}),
    "mono": ({"stems": "{s: a[:, :1] for s, a in stems.items()}"}, {"answers", "form"}),
    # A missing stem has no wrong shape.
    "no_bass": ({"stems": "{s: a for s, a in stems.items() if s != 'bass'}"}, {"answers"}),
    "rate": ({"rate": 48_000}, {"answers", "form"}),
    "hangs": ({"hangs": True}, {"song_time"}),
    "clean": ({}, set()),
}
"""The fault, and the checks that find it, by song."""


@pytest.fixture(scope="module")
def graded(
    tmp_path_factory: pytest.TempPathFactory, repository: SmallRepository
) -> Iterator[Graded]:
    """One run of all :data:`FAULTS`; the alarm has all the time that it needs."""
    folder = tmp_path_factory.mktemp("faulty")
    for name in FAULTS:
        write_song(folder / "songs" / name, SHORT if name == "hangs" else SAMPLES)
    faults = {name: fault for name, (fault, _) in FAULTS.items()}
    options = words(repository, folder / "songs", folder / "grade", faults)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "GRACE_S", 60.0)
        with command.of_run(command.parser().parse_args(options)) as made:
            yield made


@pytest.mark.parametrize("song", FAULTS)
def test_a_planted_fault_is_named(graded: Graded, song: str) -> None:
    alone = tuple(result for result in graded.results if result.name == song)
    facts = dataclasses.replace(graded, results=alone)

    found = {one.check: one.severity for kind in (RECORDS, OUTPUT) for one in findings(kind, facts)}

    assert len(alone) == 1
    assert found == dict.fromkeys(FAULTS[song][1], FAULT)


def test_requests_for_the_network_are_reported(
    repository: SmallRepository, data: Path, tmp_path: Path
) -> None:
    host = ["--env", "HOST=weights.example.org"]

    status, lines = preflight(words(repository, data, tmp_path / "grade", {}, host))

    assert status == 1
    assert [line.split()[:2] for line in lines] == [["fault", "[network]"]]


def test_an_earlier_grade_can_be_checked(
    repository: SmallRepository, data: Path, tmp_path: Path
) -> None:
    faults = {"song": {"stems": "{s: -a for s, a in stems.items()}"}}
    graded = words(repository, data, tmp_path / "grade", faults)
    said = preflight(graded)

    again = preflight(["--submission", str(repository.folder), "--graded", str(tmp_path / "grade")])

    assert again == said
    status, lines = again
    assert status == 1
    assert lines[0].startswith("fault [gain] level of all stems in 'song' (inverted polarity)")
