"""The output of a separator that may fail: stems, and where they are valid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from demixing.separator import Chunking, Separator, answers_silence

Done = Callable[[int], None]
"""Called with the number of chunks that have just been separated or skipped."""

SPARSE = 1 << 10
"""Distance of the samples that are read first: if one is not zero, the chunk is not silent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Stems of a batch of chunks, or of a segment of a song.

    Attributes:
        stems: ``(batch, stems, 2, samples)``; zero where they are not valid.
        valid: ``(batch, 1, 1, samples)``: 1 where the stems are valid, 0 where they are not, and in
            between in a cross-fade. None: valid everywhere.
    """

    stems: Tensor
    valid: Tensor | None = None

    @property
    def samples(self) -> int:
        """Length of the last axis."""
        return self.stems.shape[-1]

    def map(self, change: Callable[[Tensor], Tensor]) -> "Answer":
        """Apply to both tensors what moves, cuts or averages samples but not stems.

        Args:
            change: maps ``(batch, any, any, samples)`` to ``(batch', any, any, samples')``.
        """
        return Answer(change(self.stems), None if self.valid is None else change(self.valid))

    def split(self, samples: int) -> tuple["Answer", "Answer"]:
        """The first ``samples`` samples, and the rest."""
        return self.map(lambda one: one[..., :samples]), self.map(lambda one: one[..., samples:])

    @classmethod
    def stacked(
        cls, answers: Sequence["Answer"], join: Callable[[list[Tensor]], Tensor]
    ) -> "Answer":
        """Join the tensors of several answers.

        Args:
            answers: either all of them have a validity, or none has.
            join: maps tensors ``(batch, any, any, samples)`` to one with the same four axes.
        """
        valid = [one.valid for one in answers if one.valid is not None]
        return cls(join([one.stems for one in answers]), join(valid) if valid else None)

    @classmethod
    def joined(cls, answers: Sequence["Answer"]) -> "Answer":
        """Concatenate answers in time.

        >>> one = Answer(torch.zeros(1, 4, 2, 3))
        >>> Answer.joined([one, one]).samples
        6
        """
        return cls.stacked(answers, lambda tensors: torch.cat(tensors, dim=-1))

    @classmethod
    def mean(cls, answers: Sequence["Answer"]) -> "Answer":
        """Average several answers for the same samples."""
        return cls.stacked(answers, lambda tensors: torch.stack(tensors).mean(dim=0))


def needed(separator: Separator, chunks: Tensor) -> Tensor:
    """Which chunks a separator must see, ``(batch,)``; the stems of the others are silent.

    Silence is silence, unless the separator :func:`demixing.separator.answers_silence`.

    Args:
        separator: to run.
        chunks: ``(batch, 2, chunk)``.
    """
    if answers_silence(separator):
        return chunks.new_ones(len(chunks), dtype=torch.bool)
    if bool(chunks[..., ::SPARSE].flatten(1).any(dim=1).all()):  # far less to read
        return chunks.new_ones(len(chunks), dtype=torch.bool)
    return chunks.flatten(1).any(dim=1)


class Source(Protocol):
    """What overlap-add calls with chunks: a separator, with or without a fallback."""

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the stems, in the order of the second axis of an answer."""

    def answer(self, chunks: Tensor) -> Answer:
        """Separate any number of chunks, ``(batch, 2, chunk)``."""

    def nothing(self, groups: int) -> Answer:
        """An empty answer for ``groups`` stereo pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliable:
    """A separator whose answers are always valid, because its errors are raised.

    Attributes:
        separator: maps chunks to stems.
        batch: maximum number of chunks per call.
        skip_silence: skip silent chunks, if :func:`needed` permits it.
        done: called with the number of chunks that have just been separated or skipped.
    """

    separator: Separator
    batch: int = 1
    skip_silence: bool = True
    done: Done = lambda chunks: None

    @property
    def stems(self) -> tuple[str, ...]:
        """See :class:`Source`."""
        return self.separator.stems

    @property
    def chunking(self) -> Chunking:
        """See :class:`demixing.separator.Separator`."""
        return self.separator.chunking

    def answer(self, chunks: Tensor) -> Answer:
        """See :class:`Source`."""
        audible = torch.ones(len(chunks), dtype=torch.bool)
        if self.skip_silence:
            audible = needed(self.separator, chunks)
        if audible.all() and len(chunks) <= self.batch:
            stems = self.separator.separate(chunks)  # no copy: these are all the chunks
            self.done(len(chunks))
            return Answer(stems)
        stems = chunks.new_zeros(len(chunks), len(self.stems), *chunks.shape[1:])
        for some in audible.nonzero()[:, 0].split(self.batch):  # type: ignore[no-untyped-call]
            if len(some):
                stems[some] = self.separator.separate(chunks[some])
                self.done(len(some))
        self.done(int((~audible).sum()))
        return Answer(stems)

    def nothing(self, groups: int) -> Answer:
        """See :class:`Source`."""
        return Answer(torch.zeros(groups, len(self.stems), 2, 0))
