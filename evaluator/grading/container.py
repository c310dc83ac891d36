"""Runs a submission in a container of its image, like the server itself."""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demixing.errors import EvaluationError
from evaluator.grading import monitor
from evaluator.grading.profiles import Profile
from evaluator.grading.runners import (
    DATA,
    GRADER,
    PREDICTIONS,
    Mounts,
    Usage,
    environment,
    harness,
)

ENGINES = ("docker", "podman")
WAIT_S = 30
"""Time for the engine's command to end after its container was killed."""


@dataclass(frozen=True)
class Container:
    """Runs an image with docker, or a program that has the same command line.

    Attributes:
        image: its name.
        engine: the program, with options if needed; if empty, the first of :data:`ENGINES` that is
            installed.
        options: additional options of the program's ``run``.
    """

    image: str
    engine: str = ""
    options: Sequence[str] = ()

    @property
    def title(self) -> str:
        """See :class:`evaluator.grading.runners.Runner`."""
        return f"image {self.image}"

    @property
    def command(self) -> list[str]:
        """The engine's program, and its options.

        Raises:
            EvaluationError: none is installed.
        """
        if self.engine:
            return shlex.split(self.engine)
        for name in ENGINES:
            if shutil.which(name):
                return [name]
        raise EvaluationError(
            "expected docker or podman to run an image, found neither; install one, give another "
            "with --engine, or grade in the sandbox: omit --image"
        )

    def check(self) -> None:
        """Check that the engine works and has the image.

        Raises:
            EvaluationError: it does not work, or does not have the image.
        """
        command = [*self.command, "image", "inspect", self.image]
        try:
            found = subprocess.run(command, capture_output=True, check=False)
        except OSError as error:
            raise EvaluationError(
                f"cannot start the engine {command[0]!r} ({error.strerror}); "
                "give another with --engine"
            ) from error
        if found.returncode:
            lines = found.stderr.decode(errors="replace").strip().splitlines()
            raise EvaluationError(
                f"expected an image {self.image!r}, but {self.command[0]} reports: "
                f"{lines[-1] if lines else 'nothing'}; run `make image`, or check the engine"
            )

    def shows(self, path: Path) -> None:
        """See :class:`evaluator.grading.runners.Runner`; an image has copies of its own."""

    def notes(self, profile: Profile) -> Iterable[str]:
        """See :class:`evaluator.grading.runners.Runner`."""
        return ()

    def start(self, profile: Profile, mounts: Mounts) -> "Contained":
        """Start a container without network, which is deleted when it ends."""
        name = f"grade-{uuid.uuid4().hex[:12]}"
        predictions = mounts.folder / "predictions"
        predictions.mkdir()
        predictions.chmod(0o777)  # the image has its own user
        command = [
            *self.command,
            "run",
            "--rm",
            "--interactive",
            f"--name={name}",
            "--network=none",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            f"--cpus={profile.cpus:g}",
            f"--memory={profile.memory_bytes}b",
            f"--memory-swap={profile.memory_bytes}b",
            f"--pids-limit={profile.processes}",
            f"--ulimit=fsize={profile.disk_bytes}:{profile.disk_bytes}",
            f"--volume={mounts.mixtures.resolve()}:{DATA}:ro",
            f"--volume={predictions.resolve()}:{PREDICTIONS}",
            f"--volume={mounts.inside.resolve()}:{GRADER}:ro",
            *(f"--env={key}={value}" for key, value in environment(mounts).items()),
            *self.options,
            self.image,
            *harness("python", profile),
        ]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        return Contained(process, self.command, name, predictions)


@dataclass(slots=True)
class Contained:
    """A submission in a container.

    Attributes:
        process: the engine's command.
        engine: the engine's program, and its options.
        name: of the container; empty once it is gone.
        predictions: folder on this machine.
    """

    process: subprocess.Popen[bytes]
    engine: Sequence[str]
    name: str
    predictions: Path
    _first: int = field(init=False, default=0)
    _held: int = field(init=False, default=-1)

    def hold(self) -> int:
        """See :class:`evaluator.grading.runners.Running`."""
        self._held = os.open(self.predictions, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        return self._held

    def usage(self) -> Usage:
        """See :class:`evaluator.grading.runners.Running`."""
        if not self._first:
            self._first = self._process_1()
        memory = monitor.memory_bytes(self._first) if self._first else 0
        disk, files = monitor.disk(self._held) if self._held >= 0 else (0, 0)
        return Usage(memory, disk, files)

    def out_of_memory(self) -> bool:
        """See :class:`evaluator.grading.runners.Running`."""
        return False

    def stop(self) -> None:
        """See :class:`evaluator.grading.runners.Running`."""
        if self.process.poll() is None and self.name:
            for words in (["kill", self.name], ["rm", "-f", self.name]):
                subprocess.run([*self.engine, *words], capture_output=True, check=False)
        self.name = ""
        try:
            self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def _process_1(self) -> int:
        """Id of the container's process 1; 0 if it is hidden."""
        command = [*self.engine, "inspect", "--format={{json .State.Pid}}", self.name]
        found = subprocess.run(command, capture_output=True, check=False)
        with contextlib.suppress(ValueError, TypeError):
            number = int(json.loads(found.stdout))
            return number if number and Path("/proc", str(number)).exists() else 0
        return 0
