"""A child process, seen from its parent: started, fed, heard, watched and killed."""

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demixing.errors import CheckpointError, ConfigError, DemixError, SongError
from demixing.process.messages import BrokenFrameError, Frame, Incoming, Page, pack
from demixing.resources import ROOT
from demixing.schedule.budget import Clock
from demixing.schedule.contention import Contention

COMMAND = (sys.executable, "-P", "-m", "demixing.process.worker")
"""``-P``: nothing in the current folder may stand in for a module."""

MENDABLE: dict[str, type[DemixError]] = {
    kind.__name__: kind for kind in (SongError, ConfigError, CheckpointError)
}
"""Errors of the child that are raised in the parent, for they would come again."""

KILL_S = 1.0
"""A process that does not vanish within this after SIGKILL is left to the kernel."""

Spawn = Callable[..., "subprocess.Popen[bytes]"]


class LostError(Exception):
    """The child is of no more use; the message says why."""


class Child:
    """One worker process; see :mod:`demixing.process.worker` for what is said.

    Args:
        setup: header of the first frame.
        command: what to start; the number of the page's file is appended.
        spawn: ``subprocess.Popen``, perhaps called in another thread.
        clock: returns seconds; replaced in tests.

    Raises:
        OSError: nothing can be started here.

    Attributes:
        greeted: whether it has said anything.
        started_s: when it was started, by the clock.
        ready: whether it has built the recipe.
        took_s: seconds that it took to get ready.
        refusal: why the child cannot build the recipe, once it has said so.
    """

    def __init__(
        self,
        setup: dict[str, Any],
        *,
        command: Sequence[str] = COMMAND,
        spawn: Spawn = subprocess.Popen,
        clock: Clock = time.monotonic,
    ) -> None:
        self._clock = clock
        self.started_s = clock()
        self.ready = False
        self.took_s: float | None = None
        self.greeted = False
        self.refusal: DemixError | None = None
        self._page, file = Page.make()
        path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        with file:
            self._process = spawn(
                [*command, str(file.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[file.fileno()],
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # so that it can be killed with all its children
                bufsize=0,
            )
        self.kill = weakref.finalize(self, _kill, self._process, os.getpid())
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in_fd = self._process.stdin.fileno()
        self._out_fd = self._process.stdout.fileno()
        for fd in (self._in_fd, self._out_fd):
            os.set_blocking(fd, False)
        self._incoming = Incoming(self._out_fd)
        self._unsent: deque[memoryview] = deque()
        self._beats = (self._page.beats, self.started_s)
        self._contention = Contention(self._process.pid)
        self.send(setup)

    @property
    def pid(self) -> int:
        """Of the process, which leads a group of its own."""
        return self._process.pid

    @property
    def asked(self) -> int:
        """Index of the member that is, or was last, being asked; -1 for none."""
        return self._page.asked

    @property
    def idle(self) -> bool:
        """Whether it has taken all that it was sent."""
        return not self._unsent

    def send(self, header: dict[str, Any], samples: NDArray[np.float32] | None = None) -> None:
        """Send a frame, while :meth:`pump` is called."""
        self._unsent.extend(pack(header, samples))

    def still_s(self) -> float:
        """Seconds without a heartbeat, as far as we looked, less those that it had to wait.

        Where other processes have the processors, a heartbeat comes late from a process that is
        well.
        """
        now_s = self._clock()
        if self._page.beats != self._beats[0]:
            self._beats = (self._page.beats, now_s)
            self._contention.restart()
        return now_s - self._beats[1] - self._contention.longest_wait_s()

    def pump(self, timeout_s: float) -> list[Frame]:
        """Write and read what can be, waiting at most so long for it to be possible.

        Returns:
            Frames that belong to songs; others are dealt with here.

        Raises:
            LostError: the process has ended, and all that it said before has been returned.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._out_fd, selectors.EVENT_READ)
            if self._unsent:
                selector.register(self._in_fd, selectors.EVENT_WRITE)
            events = {key.fd for key, _ in selector.select(max(timeout_s, 0))}
        if self._in_fd in events:
            self._write()
        frames: list[Frame] = []
        try:
            # Not everything that is there, or a fast child could keep us from the clock.
            while self._out_fd in events and len(frames) < 8:
                if (frame := self._incoming.read()) is not None and not self._noted(frame.header):
                    frames.append(frame)
        except BlockingIOError:
            pass
        except BrokenFrameError as error:
            raise LostError(f"talks nonsense: {error}") from error
        except EOFError:
            if not frames:
                raise LostError(self._end()) from None
        return frames

    def _write(self) -> None:
        """Write until the pipe is full."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):  # reading tells of its end
            while self._unsent:
                part = self._unsent.popleft()
                self._unsent.appendleft(part)
                written = os.write(self._in_fd, part)
                self._unsent.popleft()
                if written < len(part):
                    self._unsent.appendleft(part[written:])

    def _noted(self, header: dict[str, Any]) -> bool:
        """Deal with a frame that is not about a song."""
        match header["kind"]:
            case "log":
                logging.getLogger(header["name"]).log(header["level"], "%s", header["message"])
            case "hello":
                self.greeted = True
            case "ready":
                self.ready = True
                self.took_s = header["took_s"]
            case "refused":
                self.refusal = mendable(header) or ConfigError(header["message"])
            case _:
                return False
        return True

    def _end(self) -> str:
        """Say how the process ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(KILL_S)
            if code < 0:
                return f"was ended by {signal.Signals(-code).name}"
            return f"ended itself with status {code}"
        return "closed its output"


def mendable(header: dict[str, Any]) -> DemixError | None:
    """Make the error that a frame tells of, if a user can mend it."""
    kind = MENDABLE.get(header["error"])
    return kind(header["message"]) if kind else None


def _kill(process: "subprocess.Popen[bytes]", owner: int) -> None:
    """Kill a process with all its children; does nothing in a fork of its parent."""
    if os.getpid() != owner:
        return
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(KILL_S)
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
