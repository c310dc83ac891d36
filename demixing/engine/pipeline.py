"""The pipeline of one song through the members of a recipe.

Stages pass on :class:`~demixing.engine.estimates.Estimates`, aligned to the sample: the mixture, an
estimate of each stem, initially an equal share of the mixture, and the validity of each member so
far. A member's input is the mixture minus some of these estimates, and its output updates others.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from demixing import audio
from demixing.audio import AudioFormat
from demixing.chunks.stream import Stream
from demixing.engine import members, outputs
from demixing.engine.blending import MemberBlend, Tap
from demixing.engine.consistency import Consistency
from demixing.engine.estimates import Estimates
from demixing.engine.members import ScheduledMember
from demixing.engine.normalisation import SongStatistics
from demixing.ensemble.blend import RunningAverage
from demixing.errors import OutputError
from demixing.recipes.recipe import Recipe


class SongPipeline:
    """Streams one song through the members of a recipe; see :class:`demixing.chunks.stream.Stream`.

    Args:
        recipe: the recipe.
        scheduled: its members, in the recipe's order.
        planned: names of the members that there is time for.
        form: of the song.
        tap: called with the outputs of the members, block by block.
        statistics: of the song, for members that normalise their input.

    Shape:
        in ``(channels, samples)``, out ``(outputs, channels, samples)``, in the order of the
        recipe's outputs: the stems of its track, unless others are asked for.

    Raises:
        ValueError: a member normalises its input, and there are no statistics.
    """

    def __init__(
        self,
        recipe: Recipe,
        scheduled: Sequence[ScheduledMember],
        planned: Sequence[str],
        form: AudioFormat,
        tap: Tap | None = None,
        statistics: SongStatistics | None = None,
    ) -> None:
        self._recipe = recipe
        self._channels = form.channels
        averages = _averages(recipe, scheduled, planned)
        stems = self._stems = [stem for stem in recipe.track.stems if stem != recipe.residual]
        doubted = [bool(one.member.doubt) for one in scheduled]
        last = doubted.index(True) if True in doubted else len(doubted)
        self._stages: list[Stream[Estimates, Estimates]] = []
        names = [one.member.name for one in scheduled]
        for number, one in enumerate(scheduled):
            if number == last:
                self._stages.append(Consistency(recipe, stems, number, form))
                stems = list(recipe.track.stems)
            blend = MemberBlend(
                one.member,
                stems,
                names[:number],
                {stem: averages[stem] for stem in one.member.outputs},
                share=1 / max(len(recipe.track.stems) - len(one.member.subtract), 1),
                form=form,
                tap=tap,
            )
            self._stages.append(members.stage(one.task, blend, form, statistics))
        if last == len(scheduled):
            self._stages.append(Consistency(recipe, stems, last, form))

    def push(self, block: Tensor) -> Tensor:
        """See :class:`demixing.chunks.stream.Stream`.

        Raises:
            OutputError: an output is not finite.
        """
        mixture = audio.to_pairs(block)[:, None]
        share = mixture / len(self._recipe.track.stems)
        signals = torch.cat([mixture, share.expand(-1, len(self._stems), -1, -1)], dim=1)
        estimates = Estimates(signals, signals.new_zeros(len(signals), 0, signals.shape[-1]))
        for stage in self._stages:
            estimates = stage.push(estimates)
        return self._checked(estimates.signals)

    def finish(self) -> Tensor:
        """See :class:`demixing.chunks.stream.Stream`.

        Raises:
            OutputError: an output is not finite.
        """
        late: Estimates | None = None
        for stage in self._stages:
            parts = [stage.push(late)] if late else []
            late = Estimates.joined([*parts, stage.finish()])
        assert late is not None  # there is at least the stage of mixture consistency
        return self._checked(late.signals)

    def _checked(self, signals: Tensor) -> Tensor:
        """Check final signals and map them to ``(outputs, channels, samples)``."""
        for stem, pairs in zip(self._recipe.track.stems, signals[:, 1:].unbind(1), strict=True):
            if not torch.isfinite(pairs).all():
                raise OutputError(
                    f"recipe {self._recipe.name!r} returned a NaN or an infinity in the stem "
                    f"{stem!r}; choose another recipe and report this one"
                )
        return outputs.chosen(self._recipe, audio.from_pairs(signals, self._channels))


def _averages(
    recipe: Recipe, scheduled: Sequence[ScheduledMember], planned: Sequence[str]
) -> dict[str, RunningAverage]:
    """The running average of each stem.

    A member that may be doubted is blended into the result of the others, so it never counts as
    planned here.
    """
    able = {
        one.member.name
        for one in scheduled
        if one.task and one.member.name in planned and not one.member.doubt
    }
    averages = {}
    for stem in recipe.track.stems:
        givers = recipe.members_for(stem)
        together = frozenset(able.intersection(givers) | _left_out(recipe, stem))
        averages[stem] = RunningAverage(stem, recipe.blends, givers, together)
    return averages


def _left_out(recipe: Recipe, stem: str) -> set[str]:
    """Members of a stem's blend that a narrowed recipe does not run."""
    return {one.name for one in recipe.left_out if stem in one.outputs and not one.doubt}
