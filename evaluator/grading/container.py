"""Runs a submission in a container of its image, like the server itself."""

import json
import os
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from demixing.errors import EvaluationError
from evaluator.grading.profiles import Profile
from evaluator.grading.runners import INSIDE, Mounts, environment, harness

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
    _names: dict[int, str] = field(default_factory=dict)

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

    def start(self, profile: Profile, mounts: Mounts) -> subprocess.Popen[bytes]:
        """Start a container without network, which is deleted when it ends."""
        name = f"grade-{uuid.uuid4().hex[:12]}"
        names = environment(mounts, "/data", "/shared", "/grader")
        # The image has its own user.
        for folder in (mounts.shared, mounts.shared / "predictions"):
            folder.chmod(0o777)
        command = [
            *self.command,
            "run",
            "--rm",
            "--interactive",
            f"--name={name}",
            "--network=none",
            f"--cpus={profile.cpus:g}",
            f"--memory={profile.memory_bytes}b",
            f"--memory-swap={profile.memory_bytes}b",
            f"--pids-limit={profile.processes}",
            f"--ulimit=fsize={profile.disk_bytes}:{profile.disk_bytes}",
            f"--volume={mounts.mixtures.resolve()}:/data:ro",
            f"--volume={mounts.shared.resolve()}:/shared",
            f"--volume={INSIDE}:/grader:ro",
            *(f"--env={key}={value}" for key, value in names.items()),
            *self.options,
            self.image,
            *harness("python", "/grader", profile),
        ]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._names[process.pid] = name
        return process

    def root(self, process: subprocess.Popen[bytes]) -> int | None:
        """See :class:`evaluator.grading.runners.Runner`."""
        name = self._names[process.pid]
        command = [*self.command, "inspect", "--format={{json .State.Pid}}", name]
        found = subprocess.run(command, capture_output=True, check=False)
        try:
            number = int(json.loads(found.stdout))
        except ValueError:
            return None
        return number if number and os.path.exists(f"/proc/{number}") else None  # noqa: PTH110

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """See :class:`evaluator.grading.runners.Runner`."""
        name = self._names.pop(process.pid, "")
        if process.poll() is None and name:
            subprocess.run([*self.command, "kill", name], capture_output=True, check=False)
            subprocess.run([*self.command, "rm", "-f", name], capture_output=True, check=False)
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
