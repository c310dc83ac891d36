"""The interface of runners: a way to start the harness, and a way to stop everything.

A runner is a container (:mod:`evaluator.grading.container`) or a sandbox
(:mod:`evaluator.grading.sandbox`). It starts a process that talks to the grader over pipes; when
this process ends, so does everything that it started.
"""

import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evaluator.grading.profiles import Profile

INSIDE = Path(__file__).with_name("inside")
"""Folder of the code that runs alongside the submission."""

DATA, SHARED, GRADER = "/data", "/shared", "/grader"
PREDICTIONS = f"{SHARED}/predictions"
"""Folders inside the runner: mixtures, results, and :data:`INSIDE`."""

CONNECTIONS = ".connections"
"""File among the predictions to which network requests are logged."""

FOLDER_MODE, FILE_MODE = 0o755, 0o644
"""Permissions of what a submission reads: it has a user of its own, whatever the umask is."""

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
        inside: copy of :data:`INSIDE` that every user can read.
        folder: a folder for files of the runner, which is deleted at the end.
        environment: additional variables.
    """

    mixtures: Path
    inside: Path
    folder: Path
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a submission uses at a moment.

    Attributes:
        memory_bytes: memory of all processes; 0 if unknown.
        disk_bytes: size of the files that it has written, including deleted ones that are open.
        files: their number, with folders.
    """

    memory_bytes: int
    disk_bytes: int
    files: int


class Running(Protocol):
    """A submission that was started."""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """Process with pipes for standard input, output and errors."""

    def hold(self) -> int:
        """Open the folder of predictions; call it before any code of the submission runs.

        Returns:
            A file descriptor, which stays open until :meth:`stop`. Whatever the submission does to
            paths, it leads to this folder.

        Raises:
            EvaluationError: it cannot be opened.
        """

    def usage(self) -> Usage:
        """Measure what it uses, from outside."""

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed one of its processes for lack of memory, if known."""

    def stop(self) -> None:
        """Kill everything, and wait until it is gone."""


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

    def shows(self, path: Path) -> Path | None:
        """Whether the submission could read a path, or something in it, apart from mixtures.

        Args:
            path: of this machine, without links; need not exist yet.

        Returns:
            The file or folder that it sees; None if there is none.
        """

    def notes(self, profile: Profile) -> Iterable[str]:
        """Sentences about limits that cannot be enforced here."""

    def start(self, profile: Profile, mounts: Mounts) -> Running:
        """Start the harness.

        Raises:
            EvaluationError: it cannot be started.
        """


def copy_inside(target: Path) -> Path:
    """Copy :data:`INSIDE` to a new folder, for users of other names; return the folder.

    Raises:
        OSError: it cannot be written.
    """
    target.mkdir()
    target.chmod(FOLDER_MODE)
    for file in INSIDE.glob("*.py"):
        shutil.copyfile(file, target / file.name)
        (target / file.name).chmod(FILE_MODE)
    return target


def harness(interpreter: str, profile: Profile) -> Sequence[str]:
    """The command that starts the harness.

    Args:
        interpreter: path of Python inside the runner.
        profile: determines the interface and the time for loading.
    """
    module = MODULES[profile.interface]
    return (interpreter, f"{GRADER}/harness.py", profile.interface, f"{profile.setup_s}", module)


def environment(mounts: Mounts) -> dict[str, str]:
    """Variables of the submission.

    Args:
        mounts: contains additional ones.
    """
    return {
        "AICROWD_DATASET_DIR": DATA,
        "AICROWD_PUBLIC_SHARED_DIR": SHARED,
        "GRADER_CONNECTIONS": f"{PREDICTIONS}/{CONNECTIONS}",
        "PYTHONPATH": GRADER,
        "PYTHONDONTWRITEBYTECODE": "1",
        **mounts.environment,
    }
