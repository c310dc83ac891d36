"""One start of a submission: requests to its harness, and limits on time, memory and files.

The harness is not trusted. It reports lines of JSON; limits are measured from outside, and a
submission that exceeds one is killed.
"""

import contextlib
import dataclasses
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from demixing.evaluation.audio import Layout
from evaluator.grading import clearing, messages, monitor, records
from evaluator.grading.collecting import collect, open_regular
from evaluator.grading.messages import Message
from evaluator.grading.output import Output
from evaluator.grading.profiles import GIB, Profile
from evaluator.grading.records import SongResult, StartUp
from evaluator.grading.runners import CONNECTIONS, Mounts, Runner, Running, copy_inside

PREFIX = "session-"
"""Prefix of the names of folders that a submission may write to."""

READY_S = 120.0
"""Time for the runner to start the harness."""

GRACE_S = 5.0
"""Time after the harness's own alarm until everything is killed."""

POLL_S = 0.1
"""Time between two checks of memory and files."""

RESERVE_BYTES = 512 * 1024**2
"""Free space on the disk that a submission may not fill."""

NEARLY_ALL = 0.95
"""Share of the memory limit above which a crash is attributed to memory."""

LOG_BYTES, LOGGED, LONGEST_REQUEST = 100_000, 100, 300
"""Bytes of the log of network requests that are read, requests that are kept, and their length."""


@contextlib.contextmanager
def opened(
    runner: Runner, profile: Profile, mixtures: Path, output: Path, environment: Mapping[str, str]
) -> Iterator["Session"]:
    """Start a submission; stop it, and delete its files, when the block ends.

    Args:
        runner: starts it.
        profile: its limits.
        mixtures: folder of the songs without their stems.
        output: a folder for the runner is created in it.
        environment: additional variables of the submission.

    Yields:
        The session; the submission has not been imported yet.

    Raises:
        EvaluationError: it cannot be started.
    """
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=output.resolve()))
    try:
        folder.chmod(0o711)
        inside = copy_inside(folder / "inside")
        mounts = Mounts(mixtures=mixtures, inside=inside, folder=folder, environment=environment)
        session = Session(profile, runner.start(profile, mounts), folder)
        try:
            yield session
        finally:
            session.stop()
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """Delete the folder of a session, whose processes have ended.

    Files of other users may stay, if an image has its own user and the grader is not root.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            clearing.clear(descriptor)
        finally:
            os.close(descriptor)
        folder.rmdir()


class Session:
    """A running submission, from its start to its end.

    Args:
        profile: its limits.
        running: its processes.
        folder: the runner's files.
    """

    def __init__(self, profile: Profile, running: Running, folder: Path) -> None:
        process = running.process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._profile = profile
        self._running = running
        self._folder = folder
        self._process = process
        self._requests, self._replies = process.stdin, process.stdout
        # A submission with the grader's user can open its end of the pipe for reading, too, and
        # take a message away before it is read here.
        os.set_blocking(process.stdout.fileno(), False)
        self._output = Output(process.stderr)
        self._held: int | None = None
        self._received = b""
        self._peak_bytes = 0
        self._checked_s = 0.0
        self._connections: tuple[str, ...] = ()
        self._stopped = False

    @property
    def alive(self) -> bool:
        """Whether another song can be requested."""
        return self._process.poll() is None

    def start_up(self) -> StartUp:
        """Wait until the model is loaded.

        Raises:
            EvaluationError: the runner does not work here.
        """
        reply = self._reply(READY_S, messages.NOT_LOADED)
        if reply.outcome == records.OK:
            self._held = self._running.hold()
            self._request({"load": True})
            reply = self._reply(self._profile.setup_s)
        return StartUp(
            import_s=reply.import_s,
            load_s=reply.load_s,
            outcome=reply.outcome,
            message=reply.message,
        )

    def separate(self, song: str, layout: Layout, predictions: Path) -> SongResult:
        """Request a song, and collect its stems.

        Args:
            song: name of its folder.
            layout: sample rate, channels and length that its stems must have.
            predictions: folder for the copied stems.

        Raises:
            EvaluationError: stems cannot be copied to ``predictions``.
        """
        assert self._held is not None
        limit_s = self._profile.limit_s(layout.samples / layout.sample_rate_hz)
        self._peak_bytes = 0
        began = time.monotonic()
        self._request({"song": song, "limit_s": limit_s})
        reply = self._reply(limit_s, song)
        seconds = time.monotonic() - began
        outcome, message = reply.outcome, reply.message
        if outcome == records.OK and seconds > limit_s:
            outcome, message = records.LATE, "finished after the limit"
        if outcome == records.OK:
            message = collect(song, self._profile.track, self._held, predictions, layout)
            outcome = records.INCOMPLETE if message else records.OK
        if not self._stopped:
            clearing.clear(self._held, [song])
        return SongResult(
            name=song,
            seconds=seconds,
            limit_s=limit_s,
            peak_bytes=self._peak_bytes,
            outcome=outcome,
            message=message,
            arrays=reply.arrays,
        )

    def finish(self, start_up: StartUp) -> StartUp:
        """Stop it.

        Args:
            start_up: its record.

        Returns:
            The same record, with all network requests.
        """
        self.stop()
        return dataclasses.replace(start_up, connections=self._connections)

    def stop(self) -> None:
        """Kill everything; does nothing if already stopped."""
        if self._stopped:
            return
        self._stopped = True
        if self._held is not None:
            self._connections = _logged(self._held)
        self._running.stop()
        self._output.show()
        self._output.close()
        for pipe in (self._requests, self._replies):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _request(self, question: Mapping[str, Any]) -> None:
        """Send a line; the harness may be gone by now, and then :meth:`_reply` notices it."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(json.dumps(question).encode() + b"\n")
            self._requests.flush()

    def _reply(self, limit_s: float, song: str = "") -> Message:
        """Wait for a line from the harness while monitoring time, memory and files.

        Args:
            limit_s: time until its own alarm; :data:`GRACE_S` later it is killed.
            song: what it must be about.
        """
        deadline_s = time.monotonic() + limit_s + GRACE_S
        self._checked_s = 0.0
        while b"\n" not in self._received:
            failure = self._receive(deadline_s) or self._over_limit()
            if failure is not None:
                self.stop()
                return failure
        line, _, self._received = self._received.partition(b"\n")
        reply = messages.parse(line)
        if reply is None or reply.song != song:
            self.stop()
            return _FORGED
        return reply

    def _receive(self, deadline_s: float) -> Message | None:
        """Wait a moment for more of a line; return the failure, if any."""
        if time.monotonic() > deadline_s:
            return _failed(records.LATE, "killed: it ignored the alarm")
        replies = self._replies.fileno()
        output = [self._output.fileno()] if self._output.open else []
        ready, _, _ = select.select([replies, *output], [], [], POLL_S)
        if output and output[0] in ready:
            self._output.show()
        if replies not in ready:
            return None
        try:
            part = os.read(replies, 65536)
        except BlockingIOError:
            return None
        if not part:
            return self._death()
        self._received += part
        return _FORGED if len(self._received) > messages.LONGEST else None

    def _over_limit(self) -> Message | None:
        """The failure if it exceeds the limits of memory or files; None if it does not."""
        if time.monotonic() < self._checked_s + POLL_S:
            return None
        self._checked_s = time.monotonic()
        usage = self._running.usage()
        self._peak_bytes = max(self._peak_bytes, usage.memory_bytes)
        if usage.memory_bytes > self._profile.memory_bytes:
            return _failed(records.MEMORY, f"killed at {usage.memory_bytes / GIB:.2f} GiB")
        if usage.disk_bytes > self._profile.disk_bytes:
            used = f"{usage.disk_bytes / GIB:.2f} GiB"
            return _failed(records.ERROR, f"killed: it wrote {used} to the disk")
        if usage.files > monitor.MOST_ENTRIES:
            most = f"{monitor.MOST_ENTRIES} files, or folders {monitor.DEEPEST} deep"
            return _failed(records.ERROR, f"killed: it made more than {most}")
        if shutil.disk_usage(self._folder).free < RESERVE_BYTES < usage.disk_bytes:
            return _failed(records.ERROR, "killed: it filled the disk")
        return None

    def _death(self) -> Message:
        """The failure of a process whose pipe was closed."""
        try:
            status = self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            return _failed(records.DIED, "it closed the harness's pipe")
        most = self._profile.memory_bytes / GIB
        if self._running.out_of_memory():
            return _failed(records.MEMORY, f"killed by the system at its limit of {most:g} GiB")
        if self._peak_bytes > NEARLY_ALL * self._profile.memory_bytes:
            text = f"ended with status {status}, with nearly {most:g} GiB in use"
            return _failed(records.MEMORY, text)
        return _failed(records.DIED, f"ended with status {status}; its output is above")


def _logged(predictions: int) -> tuple[str, ...]:
    """Network requests that the harness has logged, each once."""
    try:
        file = open_regular(CONNECTIONS, predictions)
    except (OSError, ValueError):
        return ()
    try:
        lines = os.read(file, LOG_BYTES).decode(errors="replace").splitlines()
    except OSError:
        lines = []
    finally:
        os.close(file)
    return tuple(dict.fromkeys(line[:LONGEST_REQUEST] for line in lines))[:LOGGED]


def _failed(outcome: str, message: str) -> Message:
    """A failure that the harness did not report."""
    return Message(outcome=outcome, message=message)


_FORGED = _failed(records.ERROR, "killed: it wrote to the harness's own pipe")
