"""The child process that separates the grader's songs.

Members of a recipe run native code, and a fault there ends the process. So the parent
(:mod:`demixing.process.subprocess_demixer`) runs none of it and exchanges messages with this
process through standard input and output:

    parent  setup    the recipe, the members to leave out, the number of threads
    child   hello    at once; then, when the recipe is built: ready; or, with the error's class and
                     message, refused if a user can act on it, and failed otherwise
    parent  song     its format and deadline; then block..., end
    child   stems... and done; or an error's class and message

Torch is imported after the first message, so the parent soon knows that the child is running.
"""

import contextlib
import dataclasses
import faulthandler
import functools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from demixing.engine.omissions import Omission
from demixing.engine.progress import Progress, Report
from demixing.errors import DemixError
from demixing.machine import heap, threads
from demixing.machine.lifetime import die_with_parent
from demixing.printing import one_line
from demixing.process.memory import Memory
from demixing.process.messages import BrokenMessageError, EndError, Incoming, Message, pack
from demixing.process.status import SharedStatus
from demixing.recipes import reading
from demixing.recipes.recipe import Recipe
from demixing.recipes.tracks import TRACKS

if TYPE_CHECKING:
    from demixing.engine.demixer import Demixer

logger = logging.getLogger(__name__)

HEARTBEAT_S = 0.5
"""Interval between heartbeats. Like all Python code, sending one needs the GIL."""

Array = NDArray[np.float32]

AtWork = Callable[[int], None]
"""Called with the index of a member when it starts to work, and with -1 when it is done."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parent's description of a song, sent before the samples.

    Attributes:
        sample_rate_hz: of the song.
        channels: of the song.
        samples: length of the song.
        end_s: when the stems must be finished, by ``time.monotonic``, which is the same in all
            processes of a machine; infinity without a deadline.
        statistics: fields of :class:`demixing.engine.normalisation.SongStatistics`, or None.
        report: whether the parent wants progress reports.
    """

    sample_rate_hz: int
    channels: int
    samples: int
    end_s: float
    statistics: dict[str, tuple[float, ...]] | None = None
    report: bool = False


class Work(Protocol):
    """Separates songs; returned by the ``make`` of :func:`serve`."""

    def __call__(
        self, blocks: Iterator[Array], request: Request, report: Report
    ) -> Iterator[Array]:
        """Map blocks ``(channels, samples)`` to blocks ``(stems, channels, samples)``."""

    def omissions(self) -> Sequence[Omission]:
        """Omissions of the current song so far."""


Make = Callable[[Recipe, frozenset[int], AtWork], Work]


class AbandonedError(Exception):
    """The parent has started another song."""


def table(recipe_: Recipe) -> dict[str, Any]:
    """Convert a recipe to the table that :func:`demixing.recipes.reading.parse` reads."""
    fields = _plain(recipe_)
    track = fields.pop("track")
    known = recipe_.track.name in TRACKS
    return {**fields, **({"track": track["name"]} if known else {"stems": track["stems"]})}


def _plain(thing: Any) -> Any:
    """Convert dataclasses and tuples to JSON and TOML types; drop fields without a value."""
    if dataclasses.is_dataclass(thing):
        fields = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
        return {
            name: _plain(value)
            for name, value in fields.items()
            if value is not None and value != () and value != {}
        }
    if isinstance(thing, Mapping):
        return {key: _plain(value) for key, value in thing.items()}
    return [_plain(value) for value in thing] if isinstance(thing, list | tuple) else thing


class Server:
    """Serves one parent until it closes its end of the pipes.

    Args:
        incoming: messages from the parent.
        out_fd: descriptor for messages to the parent.
        status: shared status, which the parent can read even if this process dies.
    """

    def __init__(self, incoming: Incoming, out_fd: int, status: SharedStatus) -> None:
        self._incoming = incoming
        self._out_fd = out_fd
        self._status = status
        self._lock = threading.Lock()
        self._next: Message | None = None

    def send(self, kind: str, samples: Array | None = None, **header: Any) -> None:
        """Send one message, from any thread."""
        with self._lock:
            for part in pack({"kind": kind, **header}, samples):
                while part:
                    part = part[os.write(self._out_fd, part) :]

    def run(self, make: Make) -> None:
        """Build the recipe and separate the parent's songs."""
        started_s = time.monotonic()
        self.send("hello")
        setup = self._incoming.wait().header
        handlers = [_Forward(self)]
        logging.basicConfig(
            level=setup["level"], format="%(message)s", handlers=handlers, force=True
        )
        threading.Thread(target=self._beat, daemon=True, name="heartbeat").start()
        os.environ[threads.THREADS_VARIABLE] = str(setup["threads"])
        try:
            chosen = reading.parse(setup["recipe"]["name"], setup["recipe"])
            work = make(chosen, frozenset(setup["without"]), self._note_member)
        except DemixError as error:
            self.send("refused", error=type(error).__name__, message=str(error))
            return
        except Exception as error:
            logger.exception("the recipe cannot be built")
            self.send("failed", error=type(error).__name__, message=one_line(str(error)))
            return
        self.send("ready", took_s=time.monotonic() - started_s)
        while True:
            message = self._next or self._incoming.wait()
            self._next = None
            if message.header["kind"] == "song":  # others are from abandoned songs
                with contextlib.suppress(AbandonedError):
                    self._separate(work, message.header)

    def _separate(self, work: Work, header: dict[str, Any]) -> None:
        """Separate one song, or report the failure."""
        song = header["song"]
        request = Request(**header["request"])
        try:
            report = functools.partial(self._report, song)
            for stems in work(self._blocks(song, request.channels), request, report):
                if stems.size:
                    self.send("stems", stems, song=song, omissions=_plain(work.omissions()))
            self.send("done", song=song, omissions=_plain(work.omissions()))
        except DemixError as error:
            self.send("error", song=song, error=type(error).__name__, message=str(error))
        except (AbandonedError, EndError, BrokenPipeError):
            raise
        except Exception as error:  # a bug: the parent still needs a reply
            logger.exception("the separation of a song failed")
            message = one_line(str(error))
            self.send("error", song=song, error=type(error).__name__, message=message)

    def _report(self, song: int, event: Progress) -> None:
        """Report progress to the parent."""
        self.send("progress", song=song, event=dataclasses.asdict(event))

    def _blocks(self, song: int, channels: int) -> Iterator[Array]:
        """Yield the blocks of a song as they arrive."""
        while (message := self._incoming.wait()).header["kind"] == "block":
            yield message.array(channels)
        if message.header != {"kind": "end", "song": song}:
            self._next = message
            raise AbandonedError

    def _note_member(self, member: int) -> None:
        """Record which member is at work, before it can fail."""
        self._status.member = member

    def _beat(self) -> None:
        """Show that this process can run Python code."""
        while True:
            self._status.heartbeats += 1
            time.sleep(HEARTBEAT_S)


class _Forward(logging.Handler):
    """Sends log lines to the parent, which formats and writes them."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line."""
        with contextlib.suppress(OSError):
            line = self.format(record)
            self._server.send("log", name=record.name, level=record.levelno, message=line)


def serve(make: Make, status_fd: int) -> None:
    """Serve the parent that started this process.

    Args:
        make: builds the song separator from a recipe, the members to leave out, and a function to
            call with the index of each member before it works, and with -1 afterwards.
        status_fd: descriptor of the shared status.
    """
    protect()
    threads.wait_passively()
    heap.keep_large_blocks_apart()
    # Output that libraries print must not get between the messages.
    out_fd, in_fd = os.dup(1), os.dup(0)
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    with contextlib.suppress(EndError, BrokenPipeError, BrokenMessageError):  # the parent has ended
        Server(Incoming(in_fd), out_fd, SharedStatus(status_fd)).run(make)


def protect() -> None:
    """Be killed first if memory runs out, die with the parent, and print faults."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    die_with_parent(os.getppid())  # if it has already ended, the greeting fails
    faulthandler.enable()


class DemixerWork:
    """Separates songs with a demixer; see :class:`Work`.

    Args:
        demixer: is ready for the first song.
    """

    def __init__(self, demixer: "Demixer") -> None:
        self._demixer = demixer

    def __call__(
        self, blocks: Iterator[Array], request: Request, report: Report
    ) -> Iterator[Array]:
        """See :class:`Work`."""
        import torch

        from demixing.engine.normalisation import SongStatistics
        from demixing.schedule.budget import Deadline

        stream = self._demixer.stream(
            map(torch.from_numpy, blocks),
            request.sample_rate_hz,
            samples=request.samples,
            deadline=Deadline(request.end_s - time.monotonic()),
            statistics=SongStatistics(**request.statistics) if request.statistics else None,
            report=report if request.report else None,
        )
        return (stems.numpy() for stems in stream)

    def omissions(self) -> Sequence[Omission]:
        """See :class:`Work`."""
        return self._demixer.omissions


def make_demixer(chosen: Recipe, without: frozenset[int], at_work: AtWork) -> Work:
    """Build a recipe's members; see :func:`serve`."""
    from demixing.engine.demixer import Demixer
    from demixing.schedule.contention import Contention
    from demixing.schedule.costs import Costs

    threads.use()
    demixer = Demixer(
        chosen,
        forgiving=True,
        costs=Costs.at_home(),
        without=without,
        memory_bytes=Memory().free_bytes(),
        at_work=at_work,
        contention=Contention(),
    )
    demixer.warm_up()
    return DemixerWork(demixer)


if __name__ == "__main__":
    serve(make_demixer, int(sys.argv[1]))
