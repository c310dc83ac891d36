"""Runs a demixer in a child process, so that a hang or crash does not affect the grader's process.

A thread can be abandoned, but not one that holds the GIL, and nothing in a process survives a
segmentation fault or the kernel's out-of-memory killer. So the members of a recipe run in a child
(:mod:`demixing.process.worker`); this process only sends the song, reads the stems and watches the
clock. If the child is lost, another one continues without the member that was at work, or the rest
of the song gets shares of the mixture:

    it ends or sends garbage      lost
    its heartbeat stops           lost: native code holds the GIL
    memory is nearly full         killed, before the kernel chooses a process to kill
    no time is left               killed if a member is at work; otherwise kept for the next song

A member that was at work when the child was lost is tried again with the next song, and stays out
after the second crash. If the child was not ready yet, the member stays out at once: that happens
during set-up, and must not take time from a song.

Without a deadline, no child is abandoned for being slow.
"""

import dataclasses
import itertools
import logging
import math
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from torch import Tensor

from demixing.engine.normalisation import SongStatistics
from demixing.engine.omissions import EVERY_MEMBER, Omission, merged
from demixing.engine.progress import Progress, Report
from demixing.machine import threads
from demixing.process.child import COMMAND, Child, LostError, Spawn
from demixing.process.crashes import Crashes
from demixing.process.exchange import continued, end_s, finished, omissions_of, pushed
from demixing.process.handover import SongBuffer, TimeLeft, measure_shares
from demixing.process.memory import Memory
from demixing.process.messages import Message
from demixing.process.status import NO_MEMBER
from demixing.process.worker import HEARTBEAT_S, Request, table
from demixing.recipes.recipe import Recipe
from demixing.schedule.budget import Clock, Deadline

logger = logging.getLogger(__name__)

POLL_S = 0.1
"""Interval between checks of the child, unless it sends something."""

HEARTBEAT_LIMIT_S = 10.0
"""A child at work is lost after this long without a heartbeat, or a quarter of the time left."""

LEAST_S = 0.3
"""With less time left, no new child is started."""

STARTS = 2
"""Children per song that may be lost with no member at work; another would do no better."""

BUILD_S = 380.0
"""A child that is not ready after this time is lost. The contest allows 900 s for set-up, which
leaves time for another one without the member that took so long."""

EXCLUDED = "an earlier child process died while running it"
"""Why a member that stays out is missing."""

SPAWN_S = 10.0
"""Timeout for starting a process."""


class LateError(Exception):
    """There is only enough time left to output shares of the mixture."""


class SubprocessDemixer:
    """Separates songs in a child process; see :class:`demixing.engine.demixer.Demixer`.

    The child is started at once and gets ready in the background.

    Args:
        recipe: what to do; see :func:`demixing.engine.optional.resolved` for optional members.
        command: program to start as the child.
        memory: tells when memory is nearly full.
        clock: returns seconds; replaced in tests.

    Attributes:
        recipe: as given.
        omissions: of the last song.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        command: Sequence[str] = COMMAND,
        memory: Memory | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.recipe = recipe
        self.omissions: tuple[Omission, ...] = ()
        self._clock = clock
        self._command = command
        self._memory = memory or Memory()
        self._crashes = Crashes([member.name for member in recipe.members])
        self._numbers = itertools.count()
        self._ready_s = 0.0
        self._failure = ""  # of the last children, if none of them became ready
        self._share_s = measure_shares(len(recipe.track.stems))
        # A child ends with the thread that started it, and the caller's thread may end first.
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="spawner")
        self._child: Child | None = None
        self._without: frozenset[int] = frozenset()
        try:
            self._child_without(frozenset())
        except LostError as error:  # the first song will try again
            logger.warning("the child process %s", error)

    def stream(
        self,
        blocks: Iterable[Tensor],
        sample_rate_hz: int,
        *,
        samples: int,
        deadline: Deadline,
        statistics: SongStatistics | None = None,
        report: Report | None = None,
    ) -> Iterator[Tensor]:
        """Separate a song that comes in blocks; the stems always arrive before the deadline.

        Args:
            blocks: the song in consecutive blocks, ``(channels, samples)``, of any length.
            sample_rate_hz: of the song.
            samples: length of the song.
            deadline: when the stems must be finished.
            statistics: of the song, for members that need them.
            report: called with each progress event.

        Yields:
            Consecutive blocks, ``(stems, channels, samples)``, with the stems in the order of the
            recipe's track; in total as long as the song.

        Raises:
            SongError: the song is empty, not finite, or in an unsupported format.
            ConfigError: the recipe cannot be built.
        """
        song = SongBuffer(blocks, sample_rate_hz, len(self.recipe.track.stems), statistics)
        time_left = TimeLeft(deadline, samples, self._share_s)
        without = self._crashes.excluded
        self.omissions = tuple(self._omitted(index, 1.0, EXCLUDED) for index in sorted(without))
        unexplained, reason = 0, "no member can work"
        while unexplained < STARTS and len(without) < len(self.recipe.members):
            try:
                child = self._child_without(without)
                yield from self._separate(child, song, sample_rate_hz, time_left, report)
                self.omissions = merged(self.omissions)
                return
            except LateError:
                self._late()
                reason = f"it was not done in time{self._failure}"
                break
            except LostError as error:
                crashed = self._recover(error)
                reason = f"the child process {error}"
            left = 1 - song.released / samples
            if crashed == NO_MEMBER:
                unexplained += 1
            else:
                self.omissions = (*self.omissions, self._omitted(crashed, left, reason))
            without |= {crashed} - {NO_MEMBER}
            if time_left(song) < max(2 * self._ready_s, LEAST_S):
                break
            song.take_over()
        yield from self._shares(song, sample_rate_hz, samples, reason)

    def _shares(
        self, song: SongBuffer, sample_rate_hz: int, samples: int, reason: str
    ) -> Iterator[Tensor]:
        """Yield the rest of a song as equal shares of the mixture."""
        logger.warning(
            "from %.1f s on, falling back to equal shares of the mixture",
            song.released / sample_rate_hz,
        )
        left = 1 - song.released / samples
        shares = Omission(member=EVERY_MEMBER, part=left, reason=reason)
        self.omissions = merged([*self.omissions, shares])
        yield from song.shares()

    def _omitted(self, index: int, part: float, reason: str) -> Omission:
        """Return the omission of a member from a part of the song."""
        return Omission(member=self.recipe.members[index].name, part=part, reason=reason)

    def wait(self, limit_s: float) -> None:
        """Wait until a child is ready, for at most ``limit_s`` seconds.

        A lost child is replaced by one without the member that was at work.

        Raises:
            ConfigError: the recipe cannot be built.
        """
        deadline = Deadline(limit_s, clock=self._clock)
        unexplained = 0
        while unexplained < STARTS and len(self._crashes.excluded) < len(self.recipe.members):
            try:
                child = self._child_without(self._crashes.excluded)
                while not child.ready:
                    child.pump(POLL_S)
                    self._check(child, deadline.remaining_s)
                return
            except LateError:
                logger.warning("the child process is not ready after %.0f s", limit_s)
                return
            except LostError as error:
                crashed = self._recover(error)
            if crashed == NO_MEMBER:
                unexplained += 1
            else:
                self._crashes.exclude(crashed)
        logger.warning("no child process became ready; each song will try again")

    def _child_without(self, without: frozenset[int]) -> Child:
        """Return a child that leaves out exactly these members; start it if necessary.

        Raises:
            LostError: it cannot be started.
        """
        if self._child is not None and self._without == without:
            return self._child
        self._end()
        setup = {
            "kind": "setup",
            "recipe": table(self.recipe),
            "without": sorted(without),
            "threads": threads.chosen(),
            "level": logging.getLogger().getEffectiveLevel(),
        }
        self._without = without
        try:
            self._child = Child(setup, command=self._command, spawn=self._spawn, clock=self._clock)
        except (OSError, RuntimeError) as error:
            raise LostError(f"cannot be started: {error}") from error
        return self._child

    def _spawn(self, *args: Any, **options: Any) -> "subprocess.Popen[bytes]":
        """Start a process in a thread that lives as long as this object."""
        start: Spawn = subprocess.Popen
        return self._spawner.submit(start, *args, **options).result(SPAWN_S)

    def _separate(
        self,
        child: Child,
        song: SongBuffer,
        sample_rate_hz: int,
        time_left: TimeLeft,
        report: Report | None,
    ) -> Iterator[Tensor]:
        """Have a child separate the rest of a song.

        Raises:
            LostError: the child is unusable.
            LateError: it is not done in time.
        """
        block = song.next()
        assert block is not None  # the end is not released before the song is complete
        child.pump(0)  # it may have become ready in the meantime
        number = next(self._numbers)
        request = Request(
            sample_rate_hz=sample_rate_hz,
            channels=block.shape[0],
            samples=max(time_left.samples - song.released, 1),
            end_s=end_s(time_left(song)),
            statistics=dataclasses.asdict(song.statistics) if song.statistics else None,
            report=report is not None,
        )
        part = request.samples / max(time_left.samples, 1)
        child.send({"kind": "song", "song": number, "request": dataclasses.asdict(request)})
        before = self.omissions
        for message in self._messages(child, song, block, number, time_left):
            if message.header["kind"] == "progress":
                if report is not None:
                    report(continued(Progress(**message.header["event"]), part))
                continue
            self.omissions = (*before, *omissions_of(message, part))
            if message.header["kind"] == "done":
                yield finished(song)
                return
            yield pushed(message, song, request.channels)

    def _messages(
        self, child: Child, song: SongBuffer, block: Tensor | None, number: int, time_left: TimeLeft
    ) -> Iterator[Message]:
        """Send the blocks of a song to a child, and yield its messages about that song.

        Args:
            child: has got the request.
            song: with the blocks.
            block: the first one, ``(channels, samples)``.
            number: of the song.
            time_left: for the song.

        Raises:
            LostError: the child cannot be used any more.
            LateError: no time is left.
        """
        checked_s = -math.inf
        while True:
            if block is not None and child.idle:
                child.send({"kind": "block"}, block.numpy())
                block = song.next()
                if block is None:
                    child.send({"kind": "end", "song": number})
            if self._clock() - checked_s >= POLL_S:
                self._check(child, time_left(song))
                checked_s = self._clock()
            for message in child.pump(POLL_S):
                # Others are left over from a song that was given up.
                if message.header.get("song") == number:
                    yield message

    def _check(self, child: Child, left_s: float) -> None:
        """Raise if a child cannot or must not continue.

        Raises:
            LostError: it cannot.
            LateError: no time is left.
            DemixError: it cannot build the recipe.
        """
        self._raise_refusal()
        if child.took_s is not None:
            self._ready_s = child.took_s
            self._failure = ""
        if left_s <= 0:
            raise LateError
        if not child.ready and left_s < math.inf and self._clock() - child.started_s > BUILD_S:
            raise LostError(f"is not ready after {BUILD_S:.0f} s")
        silent_s = child.since_heartbeat_s()
        if silent_s > _heartbeat_limit_s(child, left_s):
            raise LostError(f"has had no heartbeat for {silent_s:.1f} s")
        if reason := self._memory.pressing(child.pid):
            raise LostError(f"must end, because {reason}")

    def _raise_refusal(self) -> None:
        """If the child cannot build the recipe, end it and raise its reason."""
        if self._child is not None and self._child.refusal is not None:
            refusal = self._child.refusal
            self._end()
            raise refusal from None

    def _late(self) -> None:
        """End a child that was not done in time, unless the next song can use it."""
        child = self._child
        if child is None:
            return
        building = child.greeted and not child.ready
        if building:
            logger.warning("the child process is not ready yet")
        elif child.member != NO_MEMBER or not child.greeted:
            self._lose("was not done in time")

    def _recover(self, error: LostError) -> int:
        """End a child that is lost; return the index of the member that was at work.

        Raises:
            DemixError: it cannot build the recipe.
        """
        self._raise_refusal()
        if self._child is None or not self._child.ready:
            self._failure = f"; an earlier child process {error}"
        return self._lose(str(error))

    def _lose(self, reason: str) -> int:
        """End a child that is lost; return the index of the member that was at work."""
        logger.error("the child process %s", reason)
        member = self._child.member if self._child else NO_MEMBER
        self._end()
        return self._crashes.count(member)

    def _end(self) -> None:
        """Kill the child, if there is one."""
        if self._child is not None:
            self._child.kill()
            self._child = None


def _heartbeat_limit_s(child: Child, left_s: float) -> float:
    """Maximum seconds without a heartbeat, with ``left_s`` seconds left for the song."""
    if left_s == math.inf:
        return math.inf
    if child.ready or not child.greeted:
        limit_s = min(HEARTBEAT_LIMIT_S, left_s / 4)
    else:  # it is loading: libraries may take long before a member is built
        limit_s = left_s / 2 if child.member != NO_MEMBER else left_s
    return max(limit_s, 3 * HEARTBEAT_S)
