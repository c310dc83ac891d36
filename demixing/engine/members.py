"""The members of a recipe as stages of a pipeline: working or absent."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from demixing.audio import AudioFormat
from demixing.audio.resampler import Resampler
from demixing.chunks.answer import Answer, Source
from demixing.chunks.stream import Stream
from demixing.chunks.tta import AugmentedStream
from demixing.engine.blending import MemberBlend, full_validity
from demixing.engine.estimates import Estimates
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
) -> Stream[Estimates, Estimates]:
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
        return AbsentMember(blend, form.groups)
    return WorkingMember(task, blend, form, statistics)


class AbsentMember:
    """A member that cannot run. It keeps its place, because later members subtract its stems.

    Args:
        blend: of the member.
        groups: stereo pairs of the song.
    """

    def __init__(self, blend: MemberBlend, groups: int) -> None:
        self._blend = blend
        self._groups = groups

    def push(self, estimates: Estimates) -> Estimates:
        """See :class:`demixing.chunks.stream.Stream`."""
        return self._blend.without_answer(estimates)

    def finish(self) -> Estimates:
        """See :class:`demixing.chunks.stream.Stream`."""
        return self._blend.without_answer(self._blend.nothing(self._groups))


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
        self._stream: Stream[Tensor, Answer] = AugmentedStream(
            task.source, task.setting, task.cut, groups=form.groups, batch=task.batch
        )
        rate_hz = task.separator.sample_rate_hz or form.sample_rate_hz
        self._into = Resampler(form.sample_rate_hz, rate_hz, form.groups * 2)
        lanes = form.groups * len(self._parts) * 2
        self._back = Resampler(rate_hz, form.sample_rate_hz, lanes)
        self._valid_back = Resampler(rate_hz, form.sample_rate_hz, form.groups)
        self._queue: list[Estimates] = []
        self._waiting = blend.nothing(form.groups)
        self._held = self._outputs(task.source.nothing(form.groups))

    def push(self, estimates: Estimates) -> Estimates:
        """See :class:`demixing.chunks.stream.Stream`."""
        self._queue.append(estimates)
        block = self._into.push(self._blend.input_of(estimates))
        answer = self._outputs(self._stream.push(self._normaliser.into(block)))
        return self._blended(self._resampled(answer))

    def finish(self) -> Estimates:
        """See :class:`demixing.chunks.stream.Stream`."""
        silence = self._waiting.mixture[..., :0]
        block = self._normaliser.into(self._into.push(silence, last=True))
        rest = Answer.joined([self._stream.push(block), self._stream.finish()])
        answer = self._resampled(self._outputs(rest), last=True)
        # Resampling there and back may add or drop a sample at the end.
        owed = self._waiting.samples + sum(one.samples for one in self._queue)
        missing = owed - self._held.samples - answer.samples
        return self._blended(answer.map(lambda one: F.pad(one, (0, missing))), last=True)

    def _outputs(self, answer: Answer) -> Answer:
        """Undo the normalisation and sum the separator's stems to the track's."""
        stems = self._normaliser.back(answer.stems, answer.valid)
        outputs = [stems[:, parts].sum(dim=1) for parts in self._parts]
        return Answer(torch.stack(outputs, dim=1), answer.valid)

    def _resampled(self, answer: Answer, *, last: bool = False) -> Answer:
        """Resample to the song's rate."""
        stems = self._back.push(answer.stems, last=last)
        if answer.valid is None:
            return Answer(stems)
        return Answer(stems, self._valid_back.push(answer.valid, last=last))

    def _blended(self, answer: Answer, *, last: bool = False) -> Estimates:
        """Blend the new output with the queued estimates."""
        known = Answer.joined([self._held, answer])
        cell = 1 if last else self._blend.cell
        ready, self._held = known.split(known.samples // cell * cell)
        if ready.samples:
            self._waiting = Estimates.joined([self._waiting, *self._queue])
            self._queue.clear()
        estimates, self._waiting = self._waiting.split(ready.samples)
        return self._blend.with_answer(estimates, full_validity(ready, self._passes))
