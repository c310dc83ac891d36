"""A demixer in a process of its own, which may hang or die without any harm to ours.

A thread can be left behind, but not one that holds the interpreter's lock, and nothing in a
process survives a segmentation fault or the kernel's out-of-memory killer. So the members of a
recipe work in a child (:mod:`demixing.process.worker`), and we only feed it, listen and look
at the clock. If it is lost, another one goes on without the member that it was asking, or the
rest of the song gets shares of the mixture:

    it ends or talks nonsense     lost
    its heart stops               lost: native code holds the interpreter's lock
    memory is nearly full         killed, before the kernel chooses whom to kill
    no time is left               killed if it is asking a member; else it may go on with the next

A member that was asked when the child was lost is tried again with the next song, and stays out
after the second time. One with which a child was lost before it was ready stays out at once: that
is found out in the time for setting up, and must not cost a song its time.

Without a deadline a child is never given up for being slow.
"""

import dataclasses
import itertools
import logging
import math
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from demixing import threads
from demixing.engine.normalisation import SongStatistics
from demixing.engine.omissions import EVERY_MEMBER, Omission, merged
from demixing.engine.progress import Progress, Report
from demixing.process.child import COMMAND, Child, LostError, Spawn, mendable
from demixing.process.handover import Song, TimeLeft, measure_shares
from demixing.process.memory import Memory
from demixing.process.messages import NOBODY, BrokenFrameError, Frame
from demixing.process.worker import BEAT_S, Order, table
from demixing.recipes.recipe import Recipe
from demixing.schedule.budget import Clock, Deadline

logger = logging.getLogger(__name__)

POLL_S = 0.1
"""Between two looks at the child, unless it says something."""

EARLY = 0.03
EARLY_S = 0.3
"""The child's own deadline is earlier than ours by this part of its time, or at least so much."""

STILL_S = 10.0
"""A child that works and has no heartbeat for so long, or a quarter of the time left, is lost."""

LEAST_S = 0.3
"""With less time left, no other child is started."""

STARTS = 2
"""Children per song that may be lost while they ask no member: another would fare no better."""

CONVICTED = 2
"""A member with which so many children were lost stays out."""

BUILD_S = 380.0
"""A child that is not ready after so long is lost: in the contest's time for setting up, 900 s,
another one can then get ready without the member that took so long."""

OUT = "the separating process was lost with it before"
"""Why a member is missing that stays out."""

SPAWN_S = 10.0
"""Longer than the start of a process takes."""


class LateError(Exception):
    """Only the time for shares of the mixture is left."""


class Isolated:
    """Separates songs in a child process; see :class:`demixing.engine.demixer.Demixer`.

    The child is started at once, and gets ready while nobody waits for it.

    Args:
        recipe: what to do; see :func:`demixing.recipes.optional.settled` for optional members.
        command: what to start as the child.
        memory: tells when memory is nearly full.
        clock: returns seconds; replaced in tests.

    Attributes:
        recipe: as given.
        omissions: what the last song had to do without.
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
        self._losses: Counter[int] = Counter()
        self._numbers = itertools.count()
        self._ready_s = 0.0
        self._share_s = measure_shares(len(recipe.track.stems))
        # A child ends with the thread that started it, and the caller's may not last.
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="spawner")
        self._child: Child | None = None
        self._without: frozenset[int] = frozenset()
        try:
            self._child_without(frozenset())
        except LostError as error:  # the first song will try again
            logger.warning("the separating process %s", error)

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
        """Separate a song that comes in blocks; always answers in time.

        Args:
            blocks: ``(channels, samples)`` of any lengths, together the song.
            sample_rate_hz: of the song.
            samples: length of the song.
            deadline: when the answer must be there.
            statistics: of the song, for members that want it.
            report: is called with each event of the progress.

        Yields:
            ``(stems, channels, samples)``, the stems in the order of the recipe's track; together
            as long as the song.

        Raises:
            SongError: the song is empty, not finite, or of a format that cannot be separated.
            ConfigError: the recipe cannot be built.
        """
        song = Song(blocks, sample_rate_hz, len(self.recipe.track.stems), statistics)
        time_left = TimeLeft(deadline, samples, self._share_s)
        without = self._convicted()
        self.omissions = tuple(self._omitted(index, 1.0, OUT) for index in sorted(without))
        blind, reason = 0, "no member can work"
        while blind < STARTS and len(without) < len(self.recipe.members):
            try:
                child = self._child_without(without)
                yield from self._hear(child, song, sample_rate_hz, time_left, report)
                self.omissions = merged(self.omissions)
                return
            except LateError:
                self._late()
                reason = "it was not done in time"
                break
            except LostError as error:
                self._raise_refusal()
                reason = f"the separating process {error}"
                culprit = self._lose(str(error))
            left = 1 - song.released / samples
            if culprit == NOBODY:
                blind += 1
            else:
                self.omissions = (*self.omissions, self._omitted(culprit, left, reason))
            without |= {culprit} - {NOBODY}
            if time_left(song) < max(2 * self._ready_s, LEAST_S):
                break
            song.take_over()
        logger.warning(
            "from second %.1f on, the song gets shares of the mixture",
            song.released / sample_rate_hz,
        )
        left = 1 - song.released / samples
        shares = Omission(member=EVERY_MEMBER, part=left, reason=reason)
        self.omissions = merged([*self.omissions, shares])
        yield from song.shares()

    def _convicted(self) -> frozenset[int]:
        """Indices of the members that stay out."""
        return frozenset(index for index, losses in self._losses.items() if losses >= CONVICTED)

    def _omitted(self, index: int, part: float, reason: str) -> Omission:
        """Say that a member was left out of a part of the song."""
        return Omission(member=self.recipe.members[index].name, part=part, reason=reason)

    def wait(self, limit_s: float) -> None:
        """Wait until a child is ready, but no longer than ``limit_s`` seconds.

        A child that is lost is replaced by one without the member that it was asking.

        Raises:
            ConfigError: the recipe cannot be built.
        """
        deadline = Deadline(limit_s, clock=self._clock)
        blind = 0
        while blind < STARTS and len(self._convicted()) < len(self.recipe.members):
            try:
                child = self._child_without(self._convicted())
                while not child.ready:
                    child.pump(POLL_S)
                    self._look(child, deadline.remaining_s)
                return
            except LateError:
                logger.warning("the separating process is not ready after %.0f s", limit_s)
                return
            except LostError as error:
                self._raise_refusal()
                culprit = self._lose(str(error))
            if culprit == NOBODY:
                blind += 1
            else:
                self._losses[culprit] = CONVICTED
        logger.warning("no separating process gets ready; each song tries again")

    def _child_without(self, without: frozenset[int]) -> Child:
        """Return a child that leaves exactly these members out; start it if need be.

        Raises:
            LostError: nothing can be started.
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
        """Start a process in a thread that lasts as long as this object."""
        start: Spawn = subprocess.Popen
        return self._spawner.submit(start, *args, **options).result(SPAWN_S)

    def _hear(
        self,
        child: Child,
        song: Song,
        sample_rate_hz: int,
        time_left: TimeLeft,
        report: Report | None,
    ) -> Iterator[Tensor]:
        """Let a child separate what is left of a song.

        Raises:
            LostError: the child is of no more use.
            LateError: it is not done in time.
        """
        block = song.next()
        assert block is not None  # a song is never released to its end before that is answered
        child.pump(0)  # it may have got ready while we did not look
        number = next(self._numbers)
        order = Order(
            sample_rate_hz=sample_rate_hz,
            channels=block.shape[0],
            samples=max(time_left.samples - song.released, 1),
            end_s=_end_s(time_left(song)),
            statistics=dataclasses.asdict(song.statistics) if song.statistics else None,
            report=report is not None,
        )
        before = self.omissions
        part = order.samples / max(time_left.samples, 1)
        child.send({"kind": "song", "song": number, "order": dataclasses.asdict(order)})
        looked_s = -math.inf
        while True:
            if block is not None and child.idle:
                child.send({"kind": "block"}, block.numpy())
                block = song.next()
                if block is None:
                    child.send({"kind": "end", "song": number})
            if self._clock() - looked_s >= POLL_S:
                self._look(child, time_left(song))
                looked_s = self._clock()
            for frame in child.pump(POLL_S):
                if frame.header.get("song") != number:
                    continue  # left over from a song that was given up
                if frame.header["kind"] == "progress":
                    if report is not None:
                        report(_continued(Progress(**frame.header["event"]), part))
                    continue
                self.omissions = (*before, *_omissions(frame, part))
                if frame.header["kind"] == "done":
                    if not song.complete:
                        raise LostError("ended a song too early")
                    yield song.finish()
                    return
                yield _taken(frame, song, order.channels)

    def _look(self, child: Child, left_s: float) -> None:
        """Raise if a child cannot go on, or may not."""
        self._raise_refusal()
        if child.took_s is not None:
            self._ready_s = child.took_s
        if left_s <= 0:
            raise LateError
        if not child.ready and left_s < math.inf and self._clock() - child.started_s > BUILD_S:
            raise LostError(f"is not ready after {BUILD_S:.0f} s")
        still_s = child.still_s()
        if left_s == math.inf:
            patience_s = math.inf
        elif child.ready or not child.greeted:
            patience_s = max(min(STILL_S, left_s / 4), 3 * BEAT_S)
        else:  # it loads, and libraries may take their time before a member is built
            patience_s = max(left_s / 2 if child.asked != NOBODY else left_s, 3 * BEAT_S)
        if still_s > patience_s:
            raise LostError(f"has had no heartbeat for {still_s:.1f} s")
        if reason := self._memory.pressing(child.pid):
            raise LostError(f"must end, because {reason}")

    def _raise_refusal(self) -> None:
        """Raise what the child has against the recipe, if anything, and end it."""
        if self._child is not None and self._child.refusal is not None:
            refusal = self._child.refusal
            self._end()
            raise refusal from None

    def _late(self) -> None:
        """End a child that was not done in time, unless it can be used for the next song."""
        child = self._child
        if child is None:
            return
        building = child.greeted and not child.ready
        if building:
            logger.warning("the separating process is not ready yet")
        elif child.asked != NOBODY or not child.greeted:
            self._lose("was not done in time")

    def _lose(self, reason: str) -> int:
        """End a child that is lost; return the index of the member that it was asking."""
        logger.error("the separating process %s", reason)
        culprit = self._child.asked if self._child else NOBODY
        if not 0 <= culprit < len(self.recipe.members):
            culprit = NOBODY
        self._end()
        if culprit != NOBODY:
            self._losses[culprit] += 1
            stays = self._losses[culprit] >= CONVICTED
            fate = "stays out from now on" if stays else "is left out until the next song"
            logger.error("%s: was being asked, so it %s", self.recipe.members[culprit].name, fate)
        return culprit

    def _end(self) -> None:
        """Kill the child, if there is one."""
        if self._child is not None:
            self._child.kill()
            self._child = None


def _continued(event: Progress, part: float) -> Progress:
    """Turn the progress of a child into that of the whole song.

    Args:
        event: what the child says.
        part: how much of the song the child was given, the rest being done.

    >>> _continued(Progress(stage="separating", done=0.5, audio_s=10.0), 0.25).done
    0.875
    """
    return dataclasses.replace(
        event, done=1 - part * (1 - event.done), audio_s=event.audio_s / part
    )


def _end_s(left_s: float) -> float:
    """When a child with ``left_s`` seconds left must be done; see :class:`Order`."""
    if left_s == math.inf:
        return math.inf
    return time.monotonic() + left_s - max(EARLY * left_s, EARLY_S)


def _omissions(frame: Frame, part: float) -> Iterator[Omission]:
    """Yield what a child says that its part of the song has to do without.

    Args:
        frame: from the child.
        part: how much of the song the child was given.
    """
    for one in frame.header.get("omissions", ()):
        omission = Omission(**one)
        yield dataclasses.replace(omission, part=part * omission.part)


def _taken(frame: Frame, song: Song, channels: int) -> Tensor:
    """Take what a child says about a song; return what is final of the answer.

    Raises:
        LostError: it is no answer, or an error that nobody can mend.
        DemixError: an error that a user can mend.
    """
    header = frame.header
    if header["kind"] == "error":
        raise mendable(header) or LostError(f"failed with {header['error']}: {header['message']}")
    try:
        if header["kind"] != "stems":
            raise ValueError(f"said {header['kind']!r}")
        return song.push(torch.from_numpy(frame.array(song.stems, channels)))
    except (ValueError, BrokenFrameError) as error:
        raise LostError(f"gave no answer: {error}") from error
