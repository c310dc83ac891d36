"""The members of a recipe as stages of a pipeline: working or absent."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from demixing.audio import AudioFormat
from demixing.audio.resampler import Resampler
from demixing.chunks.answer import Answer, Source
from demixing.chunks.tta import AugmentedStream
from demixing.engine.blending import MemberBlend, full_validity
from demixing.engine.estimates import STEP, Estimates, Queue, Stage
from demixing.engine.normalisation import Normaliser, SongStatistics
from demixing.ensemble.setting import Setting
from demixing.recipes.member import Member
from demixing.separator import Chunking, Separator


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A member's task for one song.

    Attributes:
        separator: the member's separator.
        source: calls the separator, with or without a fallback.
        setting: its test-time augmentation.
        cut: how the song is cut.
        batch: chunks per call.
    """

    separator: Separator
    source: Source
    setting: Setting
    cut: Chunking
    batch: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledMember:
    """A member and its task.

    Attributes:
        member: of the recipe.
        task: None if the member cannot run.
    """

    member: Member
    task: Task | None


def stage(
    task: Task | None, blend: MemberBlend, form: AudioFormat, statistics: SongStatistics | None
) -> Stage:
    """Build a member's stage for one song.

    Args:
        task: see :class:`ScheduledMember`.
        blend: updates the estimates with the member's outputs.
        form: of the song.
        statistics: of the song.

    Raises:
        ValueError: the member normalises its input, and there are no statistics.
    """
    if task is None:
        return AbsentMember(blend)
    return WorkingMember(task, blend, form, statistics)


class AbsentMember:
    """A member that cannot run. It keeps its place, because later members subtract its stems.

    Args:
        blend: of the member.
    """

    def __init__(self, blend: MemberBlend) -> None:
        self._blend = blend

    def push(self, estimates: Estimates) -> Iterator[Estimates]:
        """See :class:`demixing.engine.estimates.Stage`."""
        yield self._blend.without_answer(estimates)

    def finish(self) -> Iterable[Estimates]:
        """See :class:`demixing.engine.estimates.Stage`."""
        return ()


class WorkingMember:
    """A working member: resamples, normalises and cuts its input, undoes that, and blends.

    A member's output lags its input, so the estimates are queued for about the length of a chunk.

    Args:
        task: what to run.
        blend: updates the estimates with the member's outputs.
        form: of the song.
        statistics: of the song; see :class:`demixing.engine.normalisation.Normaliser`.
    """

    def __init__(
        self, task: Task, blend: MemberBlend, form: AudioFormat, statistics: SongStatistics | None
    ) -> None:
        self._blend = blend
        self._passes = task.setting.passes
        own, outputs = task.separator.stems, blend.member.outputs.values()
        self._parts = [[own.index(part) for part in parts] for parts in outputs]
        self._normaliser = Normaliser(task.separator, statistics, form.groups)
        self._stream = AugmentedStream(
            task.source, task.setting, task.cut, groups=form.groups, batch=task.batch
        )
        rate_hz = task.separator.sample_rate_hz or form.sample_rate_hz
        self._resamples = rate_hz != form.sample_rate_hz
        self._into = Resampler(form.sample_rate_hz, rate_hz, form.groups * 2)
        lanes = form.groups * len(self._parts) * 2
        self._back = Resampler(rate_hz, form.sample_rate_hz, lanes)
        self._valid_back = Resampler(rate_hz, form.sample_rate_hz, form.groups)
        self._queue = Queue()
        self._nothing = self._held = self._outputs(task.source.nothing(form.groups))

    def push(self, estimates: Estimates) -> Iterator[Estimates]:
        """See :class:`demixing.engine.estimates.Stage`."""
        self._queue.push(estimates)
        block = self._into.push(self._blend.input_of(estimates))
        for answer in self._stream.answers(self._normaliser.into(block)):
            for part in self._pieces(self._outputs(answer)):
                yield from self._blended(self._resampled(part))

    def finish(self) -> Iterator[Estimates]:
        """See :class:`demixing.engine.estimates.Stage`."""
        silence = self._nothing.stems[:, 0]
        block = self._normaliser.into(self._into.push(silence, last=True))
        rest = itertools.chain(self._stream.answers(block), self._stream.last_answers())
        for answer in self._fitted(rest):
            yield from self._blended(answer)
        yield from self._blended(self._nothing, last=True)

    def _fitted(self, rest: Iterable[Answer]) -> Iterator[Answer]:
        """The last answers, at the song's rate and as long as the estimates that wait."""
        owed = self._queue.samples - self._held.samples
        for answer in rest:
            for part in self._pieces(self._outputs(answer)):
                ready = self._resampled(part).split(owed)[0]
                owed -= ready.samples
                yield ready
        ready = self._resampled(self._nothing, last=True).split(owed)[0]
        # Resampling there and back may add or drop a sample at the end.
        missing = owed - ready.samples
        yield ready.map(lambda one: F.pad(one, (0, missing))) if missing else ready

    def _outputs(self, answer: Answer) -> Answer:
        """Undo the normalisation and sum the separator's stems to the track's."""
        stems, parts = answer.stems, [part for (part, *others) in self._parts if not others]
        if len(parts) == len(self._parts):
            first, last = parts[0], parts[-1]
            in_order = parts == list(range(first, last + 1))
            stems = stems[:, first : last + 1] if in_order else stems[:, parts]
            return Answer(self._normaliser.back(stems, answer.valid), answer.valid)
        stems = self._normaliser.back(stems, answer.valid)
        outputs = [stems[:, parts].sum(dim=1) for parts in self._parts]
        return Answer(torch.stack(outputs, dim=1), answer.valid)

    def _pieces(self, answer: Answer) -> Iterator[Answer]:
        """Split what will be resampled, so that the copies that this needs stay small."""
        while self._resamples and answer.samples > STEP:
            part, answer = answer.split(STEP)
            yield part
        yield answer

    def _resampled(self, answer: Answer, *, last: bool = False) -> Answer:
        """Resample to the song's rate."""
        stems = self._back.push(answer.stems, last=last)
        if answer.valid is None:
            return Answer(stems)
        return Answer(stems, self._valid_back.push(answer.valid, last=last))

    def _blended(self, answer: Answer, *, last: bool = False) -> Iterator[Estimates]:
        """Blend the new output with the queued estimates, piece by piece."""
        cell = self._blend.cell
        if cell == 1:
            for estimates in self._queue.take(answer.samples):
                part, answer = answer.split(estimates.samples)
                yield self._with(estimates, part)
            return
        known = Answer.joined([self._held, answer])
        ready, self._held = known.split(known.samples if last else known.samples // cell * cell)
        if ready.samples:
            yield self._with(Estimates.joined(list(self._queue.take(ready.samples))), ready)

    def _with(self, estimates: Estimates, answer: Answer) -> Estimates:
        """The estimates updated by an output for the same samples."""
        return self._blend.with_answer(estimates, full_validity(answer, self._passes))
