"""A separator that always answers: with shares of the mixture where the one inside does not.

What can go wrong, and what happens then, each logged once per song:

    out of memory               again with half of the batch, down to single chunks
    an exception                the share; after three in a row the separator is given up
    a NaN or an infinity        the same
    no answer by the deadline   the share; its thread is left behind and never asked again
    no time for it              the share
"""

import logging
import queue
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from my_submission.budget import Guard
from my_submission.errors import CheckpointError, OutputError
from my_submission.separators import Chunking, Separator

logger = logging.getLogger(__name__)

PATIENCE = 3
"""Failures in a row after which a separator is given up for the rest of the song."""

Call = Callable[[], Tensor]
Run = Callable[[Call, float], Tensor]


class LateError(Exception):
    """A call did not return in time."""


class Helper:
    """Makes calls in another thread, so that one which hangs can be left behind.

    The thread is a daemon and ends with this object; one that hangs does not keep the process
    alive, and another takes its place.
    """

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        """Start a thread, which must not know this object, or it would never be collected."""
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Tensor | Exception] = queue.SimpleQueue()
        threading.Thread(
            target=work, args=(self._calls, self._answers), daemon=True, name="separator"
        ).start()
        self._end = weakref.finalize(self, self._calls.put, None)

    def __call__(self, call: Call, timeout_s: float) -> Tensor:
        """Return what ``call`` returns, or raise what it raises.

        Raises:
            LateError: it did neither within ``timeout_s``.
        """
        self._calls.put(call)
        try:
            answer = self._answers.get(timeout=max(timeout_s, 0))
        except queue.Empty as error:
            self._end()
            self._start()
            raise LateError(f"no answer within {timeout_s:.1f} s") from error
        if isinstance(answer, Exception):
            raise answer
        return answer


def work(
    calls: "queue.SimpleQueue[Call | None]", answers: "queue.SimpleQueue[Tensor | Exception]"
) -> None:
    """Make calls until None comes."""
    while (call := calls.get()) is not None:
        try:
            answers.put(call())
        except Exception as error:  # whatever it is, the waiting thread must hear of it
            answers.put(error)
        except BaseException as error:  # such as an exit, which is not a member's to call
            answers.put(RuntimeError(f"{type(error).__name__}: {error}"))
        del call  # or the last song would stay in memory until the next one


@dataclass(frozen=True, slots=True)
class Missing:
    """Stands for a member that could not be built.

    Attributes:
        stems: that the recipe asks it for.
    """

    stems: tuple[str, ...]
    sample_rate_hz: None = None
    chunking: Chunking = Chunking(chunk=1 << 18, hop=1 << 18)

    def separate(self, chunks: Tensor) -> Tensor:
        """Fail, as whoever asks must expect."""
        raise CheckpointError(f"no weights, so nothing separates {len(chunks)} chunks")


@dataclass(slots=True, kw_only=True)
class Careful:
    """Wraps one member of a recipe for one song; is itself a separator.

    Attributes:
        name: of the member, for the log.
        inner: what separates.
        stems: of the inner separator.
        sample_rate_hz: of the inner separator.
        chunking: of the inner separator.
        shares: what each stem gets of the mixture if ``inner`` cannot answer, ``(stems,)``.
        guard: keeps the time of the song.
        member: index of this member in the guard's order.
        run: makes a call with a timeout, such as a :class:`Helper`.
    """

    name: str
    inner: Separator
    shares: Tensor
    guard: Guard
    member: int
    run: Run
    _failures: int = 0
    _logged: set[str] = field(default_factory=set)

    @property
    def stems(self) -> tuple[str, ...]:
        """See :class:`my_submission.separators.Separator`."""
        return self.inner.stems

    @property
    def sample_rate_hz(self) -> int | None:
        """See :class:`my_submission.separators.Separator`."""
        return self.inner.sample_rate_hz

    @property
    def chunking(self) -> Chunking:
        """See :class:`my_submission.separators.Separator`."""
        return self.inner.chunking

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`my_submission.separators.Separator`; never raises, never comes late."""
        answer = spent_s = None
        if self._failures < PATIENCE:
            if self.guard.allows(self.member, len(chunks)):
                clock = self.guard.deadline.clock
                started_s = clock()
                answer = self._ask(chunks)
                spent_s = clock() - started_s
            else:
                self._log("no time is left for it")
        self.guard.done(self.member, len(chunks), spent_s)
        return self._shares(chunks) if answer is None else answer

    def _ask(self, chunks: Tensor) -> Tensor | None:
        """Ask for a batch, or where memory runs out for halves of it; None if that is no use."""
        try:
            timeout_s = self.guard.timeout_s(self.member, len(chunks))
            answer = self.run(lambda: self._infer(chunks), timeout_s)
            self._check(answer, chunks)
        except LateError as error:
            self._failures = PATIENCE
            self._log(str(error))
            return None
        except Exception as error:  # anything that a member can do wrong ends here
            if out_of_memory(error) and len(chunks) > 1:
                answers = ((part, self._ask(part)) for part in torch.tensor_split(chunks, 2))
                return torch.cat(
                    [self._shares(part) if got is None else got for part, got in answers]
                )
            self._failures += 1
            self._log(f"{type(error).__name__}: {error}")
            return None
        self._failures = 0
        return answer

    def _infer(self, chunks: Tensor) -> Tensor:
        """Call the separator; inference mode belongs to the thread that calls."""
        with torch.inference_mode():
            return self.inner.separate(chunks)

    def _check(self, answer: Tensor, chunks: Tensor) -> None:
        """Raise unless an answer can be used."""
        expected = (len(chunks), len(self.stems), *chunks.shape[1:])
        if answer.shape != expected:
            raise OutputError(f"answered with shape {tuple(answer.shape)}, not {expected}")
        if not torch.isfinite(answer).all():
            raise OutputError("answered with a NaN or an infinity")

    def _shares(self, chunks: Tensor) -> Tensor:
        """Answer in place of the separator."""
        return self.shares[:, None, None] * chunks[:, None]

    def _log(self, reason: str) -> None:
        """Say once per song what is wrong, in one line."""
        line = reason.partition("\n")[0]
        if line not in self._logged:
            self._logged.add(line)
            logger.warning("%s: %s; its stems get shares of the mixture", self.name, line)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the CPU or on a GPU.

    >>> out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    True
    >>> out_of_memory(RuntimeError("shape mismatch"))
    False
    """
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)
