"""A fallback for failing members: every song is finished in time.

Failures and how they are handled; each is logged once per song:

    out of memory               retry with half the batch, down to single chunks; then with shorter
                                chunks, if the member accepts them; then on the CPU
    an exception                no output; after three in a row, the member is dropped
    a NaN or an infinity        as for an exception
    no output by the deadline   no output; the thread is abandoned, and the member dropped
    no time for the member      no output

Where a member has no valid output, the estimates do not change; see
:mod:`demixing.engine.blending`.
"""

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from demixing.chunks.answer import Answer, Done, needed
from demixing.chunks.overlap_add import OverlapAdd
from demixing.errors import OutputError
from demixing.schedule.budget import TimeBudget
from demixing.schedule.timeout import LateError, Run
from demixing.separator import Separator

logger = logging.getLogger(__name__)

MAX_FAILURES = 3
"""After this many failures in a row, a member is dropped for the rest of the song."""


@dataclass(slots=True, kw_only=True)
class Fallback:
    """Wraps one member of a recipe for one song; a :class:`demixing.chunks.answer.Source`.

    Attributes:
        name: of the member, for the log.
        inner: the separator.
        budget: time budget of the song.
        turn: index of this member in the budget.
        run: runs a call with a timeout, such as
            :class:`~demixing.schedule.timeout.TimeoutRunner`.
        batch: maximum number of chunks per call.
        done: called with the number of chunks that have just been processed, successfully or not.
        watch: called with True before each call of ``inner``, and with False after it.
        asked: number of chunks so far.
        missing: number of these chunks without output.
        reason: why there was no output, the last time.
    """

    name: str
    inner: Separator
    budget: TimeBudget
    turn: int
    run: Run
    batch: int = 1
    done: Done = lambda chunks: None
    watch: Callable[[bool], None] = lambda busy: None
    asked: int = 0
    missing: int = 0
    reason: str = ""
    _failures: int = 0
    _most: int | None = None
    _rungs: int = 0
    _shorter: int | None = None
    _logged: set[str] = field(default_factory=set)

    @property
    def stems(self) -> tuple[str, ...]:
        """See :class:`demixing.chunks.answer.Source`."""
        return self.inner.stems

    def nothing(self, groups: int) -> Answer:
        """See :class:`demixing.chunks.answer.Source`."""
        return Answer(torch.zeros(groups, len(self.stems), 2, 0), torch.zeros(groups, 1, 1, 0))

    def answer(self, chunks: Tensor) -> Answer:
        """See :class:`demixing.chunks.answer.Source`; never raises and is never late."""
        parts = []
        for batch in torch.split(chunks, self.batch):
            parts.append(self._needed(batch))
            self.done(len(batch))
        return _together(parts)

    def _needed(self, chunks: Tensor) -> Answer:
        """Separate the chunks that are not silent: for silence, silence is a valid output.

        Unless the separator answers silence with something else.
        """
        answer = self._none(chunks)
        assert answer.valid is not None
        answer.valid[:] = 1
        audible = needed(self.inner, chunks).nonzero()[:, 0]
        together = self._most or len(chunks)
        for start in range(0, len(audible), together):
            some = audible[start : start + together]
            part = self._in_time(chunks[some])
            assert part.valid is not None
            answer.stems[some], answer.valid[some] = part.stems, part.valid
        self.budget.done(self.turn, len(chunks) - len(audible))
        self.asked += len(chunks)
        self.missing += int((answer.valid[..., 0] == 0).sum())
        return answer

    def _in_time(self, chunks: Tensor) -> Answer:
        """Separate chunks if there is time, and record how long it took."""
        spent_s = None
        answer = self._none(chunks)
        if self._failures < MAX_FAILURES:
            if self.budget.allows(self.turn, len(chunks)):
                clock = self.budget.deadline.clock
                started_s = clock()
                answer = self._ask(chunks)
                spent_s = clock() - started_s
            else:
                self._log("there is no time for more of it")
        self.budget.done(self.turn, len(chunks), spent_s)
        if self._failures >= MAX_FAILURES:
            self.budget.retire(self.turn)
        return answer

    def _ask(self, chunks: Tensor) -> Answer:
        """Separate a batch; if memory runs out, retry in other ways."""
        try:
            timeout_s = self.budget.timeout_s(self.turn, len(chunks))
            if timeout_s <= 0:
                raise LateError("no time is left for it")
            stems = self._call(chunks, timeout_s)
            self._check(stems, chunks)
        except LateError as error:
            self._failures = MAX_FAILURES
            self._log(str(error))
            return self._none(chunks)
        except Exception as error:  # any failure of a member is handled here
            if out_of_memory(error):
                if len(chunks) > 1:
                    self._most = len(chunks) // 2
                    self._log("out of memory, so its batches are made smaller")
                    return _together([self._ask(part) for part in torch.split(chunks, self._most)])
                if self._climb_down(chunks.shape[-1]):
                    return self._ask(chunks)
            self._failures += 1
            self._log(f"{type(error).__name__}: {error}")
            return self._none(chunks)
        self._failures = 0
        return Answer(stems, chunks.new_ones(len(chunks), 1, 1, chunks.shape[-1]))

    def _call(self, chunks: Tensor, timeout_s: float) -> Tensor:
        """Call the separator in another thread, with a timeout."""
        length = self._shorter
        self.watch(True)
        try:
            if length is None:
                return self.run(lambda: infer(self.inner, chunks), timeout_s)
            return self.run(lambda: in_shorter_chunks(self.inner, length, chunks), timeout_s)
        finally:
            self.watch(False)

    def _climb_down(self, samples: int) -> bool:
        """Switch to the next way to save memory; return whether there is one."""
        shorter = [length for length in self.inner.chunking.shorter if length < samples]
        if self._rungs < len(shorter):
            self._shorter = shorter[self._rungs]
            self._log(f"out of memory, so its chunks are cut to {self._shorter} samples")
        elif self._rungs == len(shorter) and hasattr(self.inner, "to_cpu"):
            self._shorter = None
            self.inner.to_cpu()
            self._log("out of memory, so it continues without the GPU")
        else:
            return False
        self._rungs += 1
        return True

    def _check(self, answer: Tensor, chunks: Tensor) -> None:
        """Raise an OutputError unless an output is valid."""
        expected = (len(chunks), len(self.inner.stems), *chunks.shape[1:])
        if answer.shape != expected:
            raise OutputError(f"returned shape {tuple(answer.shape)}, not {expected}")
        if not torch.isfinite(answer).all():
            raise OutputError("returned a NaN or an infinity")

    def _none(self, chunks: Tensor) -> Answer:
        """An answer without valid output, for some chunks."""
        return Answer(
            chunks.new_zeros(len(chunks), len(self.stems), *chunks.shape[1:]),
            chunks.new_zeros(len(chunks), 1, 1, chunks.shape[-1]),
        )

    def _log(self, reason: str) -> None:
        """Log a failure in one line, once per song."""
        line = self.reason = reason.partition("\n")[0]
        if line not in self._logged:
            self._logged.add(line)
            logger.warning("%s: %s", self.name, line)


def _together(answers: list[Answer]) -> Answer:
    """Join the answers for consecutive chunks into one batch."""
    return answers[0] if len(answers) == 1 else Answer.stacked(answers, torch.cat)


def in_shorter_chunks(separator: Separator, length: int, chunks: Tensor) -> Tensor:
    """Separate chunks in shorter ones.

    Args:
        separator: to run.
        length: of the shorter chunks in samples; one that the separator accepts.
        chunks: ``(batch, 2, samples)``.

    Returns:
        ``(batch, stems, 2, samples)``.
    """
    cut = dataclasses.replace(
        separator.chunking.shortened(length), lead=0
    )  # the chunk has it already
    overlap = OverlapAdd(separator, groups=len(chunks), chunking=cut)
    return torch.cat([overlap.push(chunks), overlap.finish()], dim=-1)


def infer(separator: Separator, chunks: Tensor) -> Tensor:
    """Call a separator in inference mode, which each thread has to set for itself.

    Args:
        separator: to run.
        chunks: ``(batch, 2, samples)``.

    Returns:
        ``(batch, stems, 2, samples)``.
    """
    with torch.inference_mode():
        return separator.separate(chunks)


def out_of_memory(error: Any) -> bool:
    """Whether an error means that the CPU or GPU has run out of memory.

    >>> out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    True
    >>> out_of_memory(RuntimeError("cuBLAS error: CUBLAS_STATUS_ALLOC_FAILED"))
    True
    >>> out_of_memory(RuntimeError("shape mismatch"))
    False
    """
    words = (
        *("out of memory", "can't allocate memory", "not enough memory", "bad_alloc"),
        *("alloc_failed", "failed to allocate memory"),  # cuBLAS and cuDNN, ONNX Runtime
    )
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)
