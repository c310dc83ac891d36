"""The child process in which the grader's songs are separated.

Members of a recipe run native code, and what goes wrong there takes its process with it. So the
parent (:mod:`demixing.process.subprocess_demixer`) keeps out of that, and talks to us through our
standard input and output:

    parent  setup    the recipe, and the members to leave out
    child   hello    at once; then, when the recipe is built: ready, or refused and why
    parent  song     its format and when it must be answered; then block..., end
    child   stems... and done; or an error's class and message

Torch is imported only after the first frame, so that the parent soon knows that we live.
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
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from demixing import threads
from demixing.engine.omissions import Omission
from demixing.engine.progress import Progress, Report
from demixing.errors import DemixError
from demixing.process.lifetime import die_with_parent
from demixing.process.memory import Memory
from demixing.process.messages import BrokenFrameError, Frame, Incoming, Page, pack
from demixing.recipes import recipe
from demixing.recipes.recipe import Recipe

logger = logging.getLogger(__name__)

BEAT_S = 0.5
"""Between two heartbeats. The heart needs the interpreter's lock, like all Python code."""

Array = NDArray[np.float32]
Asked = Callable[[int], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the parent says about a song before it sends it.

    Attributes:
        sample_rate_hz: of the song.
        channels: of the song.
        samples: length of the song.
        end_s: when the answer must be there, in the time of ``time.monotonic``, which is the
            same in all processes of a machine; infinity if there is no hurry.
        statistics: fields of :class:`demixing.engine.normalisation.SongStatistics`, or None.
        report: whether the parent wants to know of the progress.
    """

    sample_rate_hz: int
    channels: int
    samples: int
    end_s: float
    statistics: dict[str, tuple[float, ...]] | None = None
    report: bool = False


class Work(Protocol):
    """Separates songs; what ``make`` of :func:`serve` returns."""

    def __call__(self, blocks: Iterator[Array], order: Order, report: Report) -> Iterator[Array]:
        """Map blocks ``(channels, samples)`` to blocks ``(stems, channels, samples)``."""

    def omissions(self) -> Sequence[Omission]:
        """What the present song had to do without so far."""


Make = Callable[[Recipe, frozenset[int], Asked], Work]


class AbandonedError(Exception):
    """The parent has gone on to another song."""


def table(recipe_: Recipe) -> dict[str, Any]:
    """Turn a recipe into the table that :func:`demixing.recipes.recipe.parse` makes one of."""
    return {**_plain(recipe_), "track": recipe_.track.name}


def _plain(thing: Any) -> Any:
    """Turn dataclasses and tuples into what JSON and TOML know; fields without a value go."""
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
    """Serves one parent until that closes its end.

    Args:
        incoming: frames from the parent.
        out_fd: where frames to the parent go.
        page: where the parent sees what we do, whatever becomes of us.
    """

    def __init__(self, incoming: Incoming, out_fd: int, page: Page) -> None:
        self._incoming = incoming
        self._out_fd = out_fd
        self._page = page
        self._lock = threading.Lock()
        self._next: Frame | None = None

    def send(self, kind: str, samples: Array | None = None, **header: Any) -> None:
        """Send one frame; any thread may."""
        with self._lock:
            for part in pack({"kind": kind, **header}, samples):
                while part:
                    part = part[os.write(self._out_fd, part) :]

    def run(self, make: Make) -> None:
        """Build what the parent asks for and separate its songs."""
        started_s = time.monotonic()
        self.send("hello")
        setup = self._incoming.wait().header
        handlers = [_Forward(self)]
        logging.basicConfig(
            level=setup["level"], format="%(message)s", handlers=handlers, force=True
        )
        threading.Thread(target=self._beat, daemon=True, name="heart").start()
        os.environ[threads.THREADS_VARIABLE] = str(setup["threads"])
        try:
            chosen = recipe.parse(setup["recipe"]["name"], setup["recipe"])
            work = make(chosen, frozenset(setup["without"]), self._ask)
        except DemixError as error:
            self.send("refused", error=type(error).__name__, message=str(error))
            return
        self.send("ready", took_s=time.monotonic() - started_s)
        while True:
            frame = self._next or self._incoming.wait()
            self._next = None
            if frame.header["kind"] == "song":  # others are left over from abandoned songs
                with contextlib.suppress(AbandonedError):
                    self._separate(work, frame.header)

    def _separate(self, work: Work, header: dict[str, Any]) -> None:
        """Separate one song, or say why not."""
        song = header["song"]
        order = Order(**header["order"])
        try:
            report = functools.partial(self._report, song)
            for stems in work(self._blocks(song, order.channels), order, report):
                if stems.size:
                    self.send("stems", stems, song=song, omissions=_plain(work.omissions()))
            self.send("done", song=song, omissions=_plain(work.omissions()))
        except DemixError as error:
            self.send("error", song=song, error=type(error).__name__, message=str(error))
        except (AbandonedError, EOFError, OSError):
            raise
        except Exception as error:  # a bug of ours, and still the parent needs an answer
            logger.exception("the separation of a song failed")
            self.send("error", song=song, error=type(error).__name__, message=str(error))

    def _report(self, song: int, event: Progress) -> None:
        """Tell the parent how far a song is."""
        self.send("progress", song=song, event=dataclasses.asdict(event))

    def _blocks(self, song: int, channels: int) -> Iterator[Array]:
        """Yield the blocks of a song as they come."""
        while (frame := self._incoming.wait()).header["kind"] == "block":
            yield frame.array(channels)
        if frame.header != {"kind": "end", "song": song}:
            self._next = frame
            raise AbandonedError

    def _ask(self, member: int) -> None:
        """Note which member is being asked, before anything can go wrong with it."""
        self._page.asked = member

    def _beat(self) -> None:
        """Show that Python code runs here."""
        while True:
            self._page.beats += 1
            time.sleep(BEAT_S)


class _Forward(logging.Handler):
    """Hands log lines to the parent, which knows where they go and how they look."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line."""
        with contextlib.suppress(OSError):
            line = self.format(record)
            self._server.send("log", name=record.name, level=record.levelno, message=line)


def serve(make: Make, page_fd: int) -> None:
    """Serve the parent that started this process.

    Args:
        make: builds what separates songs, from a recipe, without some of its members; calls back
            with the index of the member that it is about to ask, and with -1 afterwards.
        page_fd: of the shared page.
    """
    protect()
    # What libraries print must not get among the frames.
    out_fd, in_fd = os.dup(1), os.dup(0)
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    with contextlib.suppress(EOFError, BrokenPipeError, BrokenFrameError):  # the parent has gone
        Server(Incoming(in_fd), out_fd, Page(page_fd)).run(make)


def protect() -> None:
    """Die first where memory runs out, die with the parent, and say where a fault was."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    die_with_parent(os.getppid())  # a parent that is gone by now does not take our greeting
    faulthandler.enable()


def make_demixer(chosen: Recipe, without: frozenset[int], asked: Asked) -> Work:
    """Build a recipe's members as they are; see :func:`serve`."""
    import torch

    from demixing.engine.demixer import Demixer
    from demixing.engine.normalisation import SongStatistics
    from demixing.schedule.budget import Deadline
    from demixing.schedule.contention import Contention
    from demixing.schedule.costs import Costs

    threads.use()
    demixer = Demixer(
        chosen,
        forgiving=True,
        costs=Costs.at_home(),
        without=without,
        memory_bytes=Memory().free_bytes(),
        asked=asked,
        contention=Contention(),
    )
    demixer.warm_up()

    class DemixerWork:
        def __call__(
            self, blocks: Iterator[Array], order: Order, report: Report
        ) -> Iterator[Array]:
            stream = demixer.stream(
                map(torch.from_numpy, blocks),
                order.sample_rate_hz,
                samples=order.samples,
                deadline=Deadline(order.end_s - time.monotonic()),
                statistics=SongStatistics(**order.statistics) if order.statistics else None,
                report=report if order.report else None,
            )
            return (stems.numpy() for stems in stream)

        def omissions(self) -> Sequence[Omission]:
            return demixer.omissions

    return DemixerWork()


if __name__ == "__main__":
    serve(make_demixer, int(sys.argv[1]))
