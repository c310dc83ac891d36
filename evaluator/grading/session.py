"""One start of a submission: requests to its harness, and limits on time, memory and disk.

The harness is not trusted. It reports one line of JSON; limits are measured from outside, and a
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demixing.evaluation.audio import Layout
from evaluator.grading import monitor, records
from evaluator.grading.collecting import collect
from evaluator.grading.profiles import GIB, Profile
from evaluator.grading.records import ArrayInfo, SongResult, StartUp
from evaluator.grading.runners import Mounts, Runner

PREFIX = "session-"
"""Prefix of the names of folders that a submission may write to."""

GRACE_S = 5.0
"""Time after the harness's own alarm until everything is killed."""

POLL_S = 0.1
"""Time between two checks of memory and disk."""

RESERVE_BYTES = 512 * 1024**2
"""Free space on the disk that a submission may not fill."""

LONGEST_REPLY = 10_000_000
"""Maximum length in bytes; a longer line was not written by the harness."""

NEARLY_ALL = 0.95
"""Share of the memory limit above which a crash is attributed to memory."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply of a harness, or what happened instead.

    Attributes:
        outcome: one of :data:`evaluator.grading.records.OUTCOMES`.
        message: description of the failure; empty if there was none.
        values: the report of the harness, unchecked; empty if it did not reply.
    """

    outcome: str
    message: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, line: bytes) -> "Reply | None":
        """Parse a line from the harness; None if the harness did not write it.

        >>> Reply.parse(b'{"outcome": "ok"}').outcome, Reply.parse(b"hello")
        ('ok', None)
        """
        try:
            values = json.loads(line)
        except ValueError:
            return None
        if not isinstance(values, dict):
            return None
        outcome = values.get("outcome")
        return cls(
            outcome=outcome if outcome in records.OUTCOMES else records.ERROR,
            message=str(values.get("message", "")),
            values=values,
        )

    def number(self, key: str) -> float:
        """A number of seconds that the harness reports; 0 if it reports none."""
        value = self.values.get(key)
        return float(value) if isinstance(value, int | float) else 0.0

    @property
    def arrays(self) -> dict[str, ArrayInfo]:
        """Arrays that the harness describes, by stem; empty if the description is malformed."""
        try:
            return {
                str(stem): ArrayInfo(
                    dtype=str(one["dtype"]),
                    shape=tuple(int(length) for length in one["shape"]),
                    rate_hz=None if one["rate_hz"] is None else int(one["rate_hz"]),
                    finite=bool(one["finite"]),
                    peak=float(one["peak"]),
                )
                for stem, one in dict(self.values.get("arrays") or {}).items()
            }
        except (KeyError, TypeError, ValueError, AttributeError):
            return {}


@contextlib.contextmanager
def opened(
    runner: Runner, profile: Profile, mixtures: Path, output: Path, environment: Mapping[str, str]
) -> Iterator["Session"]:
    """Start a submission; stop it, and delete its files, when the block ends.

    Args:
        runner: starts it.
        profile: its limits.
        mixtures: folder of the songs without their stems.
        output: the session's folder is created in it.
        environment: additional variables of the submission.

    Yields:
        The session, which is still loading the model.
    """
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=output.resolve()))
    try:
        shared, scratch = folder / "shared", folder / "tmp"
        (shared / "predictions").mkdir(parents=True)
        scratch.mkdir()
        folder.chmod(0o711)
        mounts = Mounts(mixtures=mixtures, shared=shared, scratch=scratch, environment=environment)
        session = Session(runner, profile, mounts, runner.start(profile, mounts))
        try:
            yield session
        finally:
            session.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Session:
    """A running submission, from its start to its end.

    Args:
        runner: started it.
        profile: its limits.
        mounts: folders that it sees.
        process: its process; both pipes are open.
    """

    def __init__(
        self, runner: Runner, profile: Profile, mounts: Mounts, process: subprocess.Popen[bytes]
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._runner = runner
        self._profile = profile
        self._mounts = mounts
        self._process = process
        self._requests, self._replies = process.stdin, process.stdout
        self._root: int | None = None
        self._received = b""
        self._peak_bytes = 0

    @property
    def alive(self) -> bool:
        """Whether another song can be requested."""
        return self._process.poll() is None

    def start_up(self) -> StartUp:
        """Wait until the model is loaded."""
        reply = self._reply(self._profile.setup_s)
        return StartUp(
            import_s=reply.number("import_s"),
            load_s=reply.number("load_s"),
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
        limit_s = self._profile.limit_s(layout.samples / layout.sample_rate_hz)
        self._peak_bytes = 0
        began = time.monotonic()
        self._request({"song": song, "limit_s": limit_s})
        reply = self._reply(limit_s)
        seconds = time.monotonic() - began
        outcome, message = reply.outcome, reply.message
        if outcome == records.OK and seconds > limit_s:
            outcome, message = records.LATE, "finished after the limit"
        source = self._mounts.shared / "predictions"
        if outcome == records.OK:
            message = collect(song, self._profile.track, source, predictions, layout)
            outcome = records.INCOMPLETE if message else records.OK
        shutil.rmtree(source / song, ignore_errors=True)
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
        try:
            file = os.open(self._mounts.shared / ".connections", os.O_RDONLY | os.O_NOFOLLOW)
            with open(file, encoding="utf-8", errors="replace") as reader:  # noqa: PTH123
                lines = reader.read(100_000).splitlines()
        except OSError:
            lines = []
        return dataclasses.replace(start_up, connections=tuple(dict.fromkeys(lines)))

    def stop(self) -> None:
        """Kill everything; does nothing if already stopped."""
        self._runner.stop(self._process)
        for pipe in (self._requests, self._replies):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _request(self, question: Mapping[str, Any]) -> None:
        """Send a line; the harness may be gone by now, and then :meth:`_reply` notices it."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(json.dumps(question).encode() + b"\n")
            self._requests.flush()

    def _reply(self, limit_s: float) -> Reply:
        """Wait for a line from the harness while monitoring time, memory and disk.

        Args:
            limit_s: time until its own alarm; :data:`GRACE_S` later it is killed.
        """
        deadline = time.monotonic() + limit_s + GRACE_S
        while b"\n" not in self._received:
            failure = self._receive(deadline) or self._over_limit()
            if failure is not None:
                self.stop()
                return failure
        line, _, self._received = self._received.partition(b"\n")
        reply = Reply.parse(line)
        if reply is None:
            self.stop()
            return _GARBAGE
        return reply

    def _receive(self, deadline: float) -> Reply | None:
        """Wait a moment for more of a line; return the failure, if any."""
        if time.monotonic() > deadline:
            return Reply(records.LATE, "killed: it ignored the alarm")
        pipe = self._replies.fileno()
        ready, _, _ = select.select([pipe], [], [], POLL_S)
        if not ready:
            return None
        part = os.read(pipe, 65536)
        if not part:
            return self._death()
        self._received += part
        return _GARBAGE if len(self._received) > LONGEST_REPLY else None

    def _over_limit(self) -> Reply | None:
        """The reply if it exceeds the limits of memory or disk; None if it does not."""
        if self._root is None:
            self._root = self._runner.root(self._process)
        if self._root is not None:
            used = monitor.memory_bytes(self._root)
            self._peak_bytes = max(self._peak_bytes, used)
            if used > self._profile.memory_bytes:
                return Reply(records.MEMORY, f"killed at {used / GIB:.2f} GiB")
        written = monitor.disk_bytes(self._mounts.shared, self._mounts.scratch)
        if written > self._profile.disk_bytes:
            return Reply(records.ERROR, f"killed: it wrote {written / GIB:.2f} GiB to the disk")
        if shutil.disk_usage(self._mounts.shared).free < RESERVE_BYTES < written:
            return Reply(records.ERROR, "killed: it filled the disk")
        return None

    def _death(self) -> Reply:
        """The reply for a process whose pipe was closed."""
        try:
            status = self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            return Reply(records.DIED, "it closed the harness's pipe")
        if self._peak_bytes > NEARLY_ALL * self._profile.memory_bytes:
            return Reply(records.MEMORY, f"ended with status {status}, with all memory in use")
        return Reply(records.DIED, f"ended with status {status}; its output is above")


_GARBAGE = Reply(records.ERROR, "killed: it wrote to the harness's own pipe")
