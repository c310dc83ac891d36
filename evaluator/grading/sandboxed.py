"""A submission that runs in a sandbox: what it uses, and its end."""

import contextlib
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TypedDict

from demixing.errors import EvaluationError
from demixing.evaluation import checked
from evaluator.grading import bubblewrap, monitor
from evaluator.grading.cgroup import Group
from evaluator.grading.runners import PREDICTIONS, Usage

STOP_S = 30.0
"""Time for the kernel to end all processes after the first one was killed."""

INFO_S = 60.0
"""Time for bubblewrap to make its namespaces."""


@dataclass(slots=True)
class Sandboxed:
    """A submission in a sandbox.

    Attributes:
        process: bubblewrap.
        first: id of process 1 of the sandbox; 0 if it was not made.
        group: its control group, if it could be made.
    """

    process: subprocess.Popen[bytes]
    first: int
    group: Group | None
    _watched: int = field(init=False, default=-1)
    _held: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.first:
            with contextlib.suppress(ProcessLookupError):
                self._watched = os.pidfd_open(self.first)

    def hold(self) -> int:
        """See :class:`evaluator.grading.runners.Running`."""
        for name in (PREDICTIONS, bubblewrap.TEMPORARY):
            try:
                self._held[name] = os.open(
                    f"/proc/{self.first}/root{name}", os.O_RDONLY | os.O_DIRECTORY
                )
            except OSError as error:
                raise EvaluationError(
                    f"cannot open {name} of the sandbox ({error.strerror}); run as root, or grade "
                    "an image with docker or podman: --image NAME"
                ) from error
        return self._held[PREDICTIONS]

    def usage(self) -> Usage:
        """See :class:`evaluator.grading.runners.Running`."""
        systems = [os.fstatvfs(held) for held in self._held.values()]
        disk = sum((one.f_blocks - one.f_bfree) * one.f_frsize for one in systems)
        files = sum(one.f_files - one.f_ffree for one in systems)
        if self.group:
            memory = max(self.group.memory_bytes() - disk, 0)  # these files are in memory
        else:
            memory = monitor.memory_bytes(self.first)
        return Usage(memory, disk, files)

    def out_of_memory(self) -> bool:
        """See :class:`evaluator.grading.runners.Running`."""
        return self.group is not None and self.group.out_of_memory()

    def stop(self) -> None:
        """See :class:`evaluator.grading.runners.Running`."""
        if self._watched >= 0:  # everything in the sandbox ends with process 1
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._watched, signal.SIGKILL)
            select.select([self._watched], [], [], STOP_S)
        self.process.kill()
        self.process.wait(STOP_S)
        for held in (self._watched, *self._held.values()):
            if held >= 0:
                os.close(held)
        self._watched, self._held = -1, {}
        if self.group:
            self.group.remove()


_Ids = TypedDict("_Ids", {"child-pid": int})
"""What bubblewrap reports, among other things."""


def process_1(info: int, process: subprocess.Popen[bytes]) -> int:
    """Id of the sandbox's process 1, which bubblewrap reports; 0 if it fails."""
    end_s = time.monotonic() + INFO_S
    while time.monotonic() < end_s:
        ended = process.poll() is not None
        with contextlib.suppress(ValueError):
            return checked.parse(os.pread(info, 4096, 0), _Ids, "ids")["child-pid"]
        if ended:
            break
        time.sleep(0.005)
    return 0
