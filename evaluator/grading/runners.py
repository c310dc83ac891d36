"""What the grader needs of a place: how to begin there, and how to end all of it.

A place is an argument vector: a process that speaks with the harness over its standard input and
output, and takes everything along when it is killed.
"""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evaluator.grading.profiles import Profile

INSIDE = Path(__file__).with_name("inside")
"""Folder of what runs beside the submission."""

MODULES: Mapping[str, str] = {
    "wrapper": "my_submission.aicrowd_wrapper",
    "predictor": "my_submission.mdx21",
}
"""Where a submission's class lies, by the interface of its profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a submission is given; all paths are of this machine.

    Attributes:
        mixtures: folder of the songs without their stems; may be read.
        shared: holds ``predictions/``; may be written to.
        scratch: for temporary files; may be written to.
        environment: further variables.
    """

    mixtures: Path
    shared: Path
    scratch: Path
    environment: Mapping[str, str]


class Place(Protocol):
    """Where a submission runs."""

    @property
    def title(self) -> str:
        """What people call it."""

    def check(self) -> None:
        """See that it can be begun.

        Raises:
            EvaluationError: something is missing; the sentence says what to do.
        """

    def begin(self, profile: Profile, work: Work) -> subprocess.Popen[bytes]:
        """Start the harness."""

    def root(self, process: subprocess.Popen[bytes]) -> int | None:
        """Process of this machine below which all of the submission's are; None if hidden."""

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill everything, and wait until it is gone."""


def harness(interpreter: str, folder: str, profile: Profile) -> Sequence[str]:
    """The command that runs in the place, where this package's ``inside`` lies in a folder."""
    module = MODULES[profile.interface]
    return (interpreter, f"{folder}/harness.py", profile.interface, f"{profile.setup_s}", module)


def environment(work: Work, mixtures: str, shared: str, folder: str) -> dict[str, str]:
    """Variables for the place, given the names that folders have there."""
    return {
        "AICROWD_DATASET_DIR": mixtures,
        "AICROWD_PUBLIC_SHARED_DIR": shared,
        "GRADER_CONNECTIONS": f"{shared}/.connections",
        "PYTHONPATH": folder,
        "PYTHONDONTWRITEBYTECODE": "1",
        **work.environment,
    }
