"""The parent's side of a child process: starts, feeds, reads, monitors and kills it."""

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
from demixing.machine.installation import ROOT
from demixing.process.messages import BrokenMessageError, EndError, Incoming, Message, pack
from demixing.process.status import SharedStatus
from demixing.schedule.budget import Clock
from demixing.schedule.contention import Contention

COMMAND = (sys.executable, "-P", "-m", "demixing.process.worker")
"""``-P``: files in the current folder cannot shadow modules."""

USER_ERRORS: dict[str, type[DemixError]] = {
    kind.__name__: kind for kind in (SongError, ConfigError, CheckpointError)
}
"""Errors of the child that a user can fix: raised in the parent, because they would recur."""

KILL_S = 1.0
"""A process that has not ended within this time after SIGKILL is left to the kernel."""

MESSAGES = 8
"""Maximum number of messages at a time; otherwise a fast child could keep its parent from checking
the clock."""

Spawn = Callable[..., "subprocess.Popen[bytes]"]


class LostError(Exception):
    """The child is unusable; the message explains why."""


class Child:
    """One worker process; :mod:`demixing.process.worker` describes the protocol.

    Args:
        setup: header of the first message.
        command: command line to start; the descriptor of the shared status is appended.
        spawn: ``subprocess.Popen``, or a function that calls it in another thread.
        clock: returns seconds; replaced in tests.

    Raises:
        OSError: the process cannot be started.

    Attributes:
        greeted: whether it has sent anything yet.
        started_s: when it was started, by the clock.
        ready: whether it has built the recipe.
        took_s: seconds it took to get ready.
        refusal: why the child cannot build the recipe, once it has reported that.
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
        self._status, file = SharedStatus.make()
        with file:
            self._process = _start(command, file.fileno(), spawn)
        self.kill = weakref.finalize(self, _kill, self._process, os.getpid())
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in_fd = self._process.stdin.fileno()
        self._out_fd = self._process.stdout.fileno()
        for fd in (self._in_fd, self._out_fd):
            os.set_blocking(fd, False)
        self._incoming = Incoming(self._out_fd)
        self._unsent: deque[memoryview] = deque()
        self._heartbeat = (self._status.heartbeats, self.started_s)
        self._contention = Contention(self._process.pid)
        self.send(setup)

    @property
    def pid(self) -> int:
        """Id of the process, which leads its own process group."""
        return self._process.pid

    @property
    def member(self) -> int:
        """Index of the member at work, even after the process has ended; -1 for none."""
        return self._status.member

    @property
    def idle(self) -> bool:
        """Whether the child has read everything that was sent."""
        return not self._unsent

    def send(self, header: dict[str, Any], samples: NDArray[np.float32] | None = None) -> None:
        """Queue a message; :meth:`pump` writes it.

        Args:
            header: of the message.
            samples: ``(channels, samples)``, or None.
        """
        self._unsent.extend(pack(header, samples))

    def since_heartbeat_s(self) -> float:
        """Seconds since the last observed heartbeat, minus time spent waiting for a processor.

        When other processes use the processors, even a healthy process has late heartbeats.
        """
        now_s = self._clock()
        if self._status.heartbeats != self._heartbeat[0]:
            self._heartbeat = (self._status.heartbeats, now_s)
            self._contention.restart()
        return now_s - self._heartbeat[1] - self._contention.longest_wait_s()

    def pump(self, timeout_s: float) -> list[Message]:
        """Write and read as much as possible; wait at most ``timeout_s`` until something is.

        Returns:
            Messages about songs; others are handled here.

        Raises:
            LostError: the process has ended and all its messages have been returned, or it
                reports that it cannot work.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._out_fd, selectors.EVENT_READ)
            if self._unsent:
                selector.register(self._in_fd, selectors.EVENT_WRITE)
            events = {key.fd for key, _ in selector.select(max(timeout_s, 0))}
        if self._in_fd in events:
            self._write()
        messages: list[Message] = []
        try:
            while self._out_fd in events and len(messages) < MESSAGES:
                message = self._incoming.read()
                if message is not None and not self._handled(message.header):
                    messages.append(message)
        except BlockingIOError:
            pass
        except BrokenMessageError as error:
            raise LostError(f"sent an invalid message: {error}") from error
        except EndError:
            if not messages:
                raise LostError(self._end()) from None
        return messages

    def _write(self) -> None:
        """Write until the pipe is full."""
        # A broken pipe is noticed when reading from the child.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while self._unsent:
                written = os.write(self._in_fd, self._unsent[0])
                part = self._unsent.popleft()
                if written < len(part):
                    self._unsent.appendleft(part[written:])

    def _handled(self, header: dict[str, Any]) -> bool:
        """Handle a message, unless it is about a song; return whether it was handled.

        Raises:
            LostError: the child reports a bug.
        """
        match header["kind"]:
            case "log":
                logging.getLogger(header["name"]).log(header["level"], "%s", header["message"])
            case "hello":
                self.greeted = True
            case "ready":
                self.ready = True
                self.took_s = header["took_s"]
            case "refused":
                self.refusal = user_error(header) or ConfigError(header["message"])
            case "failed":
                raise failure(header)
            case _:
                return False
        return True

    def _end(self) -> str:
        """Describe how the process ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(KILL_S)
            if code < 0:
                return f"was killed by {signal.Signals(-code).name}"
            return f"exited with status {code}"
        return "closed its output"


def user_error(header: dict[str, Any]) -> DemixError | None:
    """Return the error that a message reports, if a user can fix it."""
    kind = USER_ERRORS.get(header["error"])
    return kind(header["message"]) if kind else None


def failure(header: dict[str, Any]) -> LostError:
    """Return the error of a child that reports a bug."""
    return LostError(f"failed with {header['error']}: {header['message']}".rstrip(": "))


def _start(command: Sequence[str], status_fd: int, spawn: Spawn) -> "subprocess.Popen[bytes]":
    """Start the process with pipes and the descriptor of the shared status."""
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    return spawn(
        [*command, str(status_fd)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[status_fd],
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,  # so it can be killed with all its children
        bufsize=0,
    )


def _kill(process: "subprocess.Popen[bytes]", owner: int) -> None:
    """Kill a process and all its children; do nothing in a fork of its parent."""
    if os.getpid() != owner:
        return
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(KILL_S)
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
