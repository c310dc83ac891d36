"""The interface of runners: a way to start the harness, and a way to stop everything.

A runner is a container (:mod:`evaluator.grading.container`) or a sandbox
(:mod:`evaluator.grading.sandbox`). It starts a process that talks to the grader over its standard
input and output; when this process ends, so does everything that it started.
"""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evaluator.grading.profiles import Profile

INSIDE = Path(__file__).with_name("inside")
"""Folder of the code that runs alongside the submission."""

MODULES: Mapping[str, str] = {
    "wrapper": "my_submission.aicrowd_wrapper",
    "predictor": "my_submission.mdx21",
}
"""Module of the submission's class, by the interface of the profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounts:
    """Folders and variables for a submission; paths are those of this machine.

    Attributes:
        mixtures: folder of the songs without their stems; read-only for the submission.
        shared: holds ``predictions/``; writable.
        scratch: folder for temporary files; writable.
        environment: additional variables.
    """

    mixtures: Path
    shared: Path
    scratch: Path
    environment: Mapping[str, str]


class Runner(Protocol):
    """Runs a submission, isolated from everything but its songs."""

    @property
    def title(self) -> str:
        """Its name in the report."""

    def check(self) -> None:
        """Check that it can be used here.

        Raises:
            EvaluationError: something is missing; the message gives the remedy.
        """

    def start(self, profile: Profile, mounts: Mounts) -> subprocess.Popen[bytes]:
        """Start the harness."""

    def root(self, process: subprocess.Popen[bytes]) -> int | None:
        """Id of the process above all of the submission's processes; None if hidden."""

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Kill everything, and wait until it is gone."""


def harness(interpreter: str, folder: str, profile: Profile) -> Sequence[str]:
    """The command that starts the harness.

    Args:
        interpreter: path of Python inside the runner.
        folder: path of :data:`INSIDE` inside the runner.
        profile: determines the interface and the time for loading.
    """
    module = MODULES[profile.interface]
    return (interpreter, f"{folder}/harness.py", profile.interface, f"{profile.setup_s}", module)


def environment(mounts: Mounts, mixtures: str, shared: str, folder: str) -> dict[str, str]:
    """Variables of the submission.

    Args:
        mounts: contains additional ones.
        mixtures: path of the mixtures inside the runner.
        shared: path of the shared folder inside the runner.
        folder: path of :data:`INSIDE` inside the runner.
    """
    return {
        "AICROWD_DATASET_DIR": mixtures,
        "AICROWD_PUBLIC_SHARED_DIR": shared,
        "GRADER_CONNECTIONS": f"{shared}/.connections",
        "PYTHONPATH": folder,
        "PYTHONDONTWRITEBYTECODE": "1",
        **mounts.environment,
    }
