"""What the grader needs of a runner: a way to start the harness, and a way to stop everything.

A runner is a container (:mod:`evaluator.grading.container`) or a sandbox
(:mod:`evaluator.grading.sandbox`). It starts a process that speaks with the grader over its
standard input and output, and whose end is the end of everything that it started.
"""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evaluator.grading.profiles import Profile

INSIDE = Path(__file__).with_name("inside")
"""Folder of the code that runs beside the submission."""

MODULES: Mapping[str, str] = {
    "wrapper": "my_submission.aicrowd_wrapper",
    "predictor": "my_submission.mdx21",
}
"""Module of the submission's class, by the interface of the profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounts:
    """Folders and variables that a submission gets; paths are those of this machine.

    Attributes:
        mixtures: folder of the songs without their stems; read-only for the submission.
        shared: holds ``predictions/``; writable.
        scratch: for temporary files; writable.
        environment: further variables.
    """

    mixtures: Path
    shared: Path
    scratch: Path
    environment: Mapping[str, str]


class Runner(Protocol):
    """Runs a submission, isolated from everything but its songs."""

    @property
    def title(self) -> str:
        """What the report calls it."""

    def check(self) -> None:
        """Check that it can be used here.

        Raises:
            EvaluationError: something is missing; the message says what to do.
        """

    def start(self, profile: Profile, mounts: Mounts) -> subprocess.Popen[bytes]:
        """Start the harness."""

    def root(self, process: subprocess.Popen[bytes]) -> int | None:
        """Number of the process above all of the submission's processes; None if hidden."""

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Kill everything, and wait until it is gone."""


def harness(interpreter: str, folder: str, profile: Profile) -> Sequence[str]:
    """The command that starts the harness.

    Args:
        interpreter: Python, as the runner sees it.
        folder: where the runner sees :data:`INSIDE`.
        profile: knows the interface, and the time for loading.
    """
    module = MODULES[profile.interface]
    return (interpreter, f"{folder}/harness.py", profile.interface, f"{profile.setup_s}", module)


def environment(mounts: Mounts, mixtures: str, shared: str, folder: str) -> dict[str, str]:
    """Variables of the submission.

    Args:
        mounts: has further ones.
        mixtures: where the runner sees the mixtures.
        shared: where it sees the shared folder.
        folder: where it sees :data:`INSIDE`.
    """
    return {
        "AICROWD_DATASET_DIR": mixtures,
        "AICROWD_PUBLIC_SHARED_DIR": shared,
        "GRADER_CONNECTIONS": f"{shared}/.connections",
        "PYTHONPATH": folder,
        "PYTHONDONTWRITEBYTECODE": "1",
        **mounts.environment,
    }
