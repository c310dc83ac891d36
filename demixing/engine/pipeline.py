"""The pipeline of one song through the members of a recipe.

Stages pass on :class:`~demixing.engine.estimates.Estimates`, aligned to the sample: the mixture, an
estimate of each stem, initially an equal share of the mixture, and the validity of each member so
far. A member's input is the mixture minus some of these estimates, and its output updates others.
"""

from collections import deque
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from demixing import audio
from demixing.audio import AudioFormat
from demixing.engine import members, outputs
from demixing.engine.blending import MemberBlend, Tap
from demixing.engine.consistency import Consistency
from demixing.engine.estimates import STEP, Estimates, Stage
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
        self._nothing = torch.zeros(len(recipe.outputs), form.channels, 0)
        averages = _averages(recipe, scheduled, planned)
        stems = self._stems = [stem for stem in recipe.track.stems if stem != recipe.residual]
        doubted = [bool(one.member.doubt) for one in scheduled]
        last = doubted.index(True) if True in doubted else len(doubted)
        self._stages: list[Stage] = []
        names = [one.member.name for one in scheduled]
        for number, one in enumerate(scheduled):
            if number == last:
                self._stages.append(Consistency(recipe, stems, form))
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
            self._stages.append(Consistency(recipe, stems, form))

    def push(self, block: Tensor) -> Tensor:
        """See :class:`demixing.chunks.stream.Stream`, and :meth:`pieces`."""
        return torch.cat([self._nothing, *self.pieces(block)], dim=-1)

    def finish(self) -> Tensor:
        """See :class:`demixing.chunks.stream.Stream`, and :meth:`last_pieces`."""
        return torch.cat([self._nothing, *self.last_pieces()], dim=-1)

    def pieces(self, block: Tensor) -> Iterator[Tensor]:
        """Add the next samples, and generate results as soon as they are final.

        Raises:
            OutputError: an output is not finite.
        """
        for part in torch.split(block, STEP, dim=-1):
            mixture = audio.to_pairs(part)
            share = len(self._recipe.track.stems)
            yield from self._after(Estimates(mixture, (share,) * len(self._stems)), 0)

    def last_pieces(self) -> Iterator[Tensor]:
        """Generate all remaining results.

        Raises:
            OutputError: an output is not finite.
        """
        for number, stage in enumerate(self._stages):
            ready = deque(stage.finish())
            while ready:
                yield from self._after(ready.popleft(), number + 1)

    def _after(self, estimates: Estimates, number: int) -> Iterator[Tensor]:
        """Pass estimates through the stages from ``number`` on.

        A stage finishes its results before the next stage starts, because either may need all the
        memory. Each result leaves the pipeline before the next is made.
        """
        if number == len(self._stages):
            yield self._checked(estimates)
            return
        ready = deque(self._stages[number].push(estimates))
        while ready:
            yield from self._after(ready.popleft(), number + 1)

    def _checked(self, estimates: Estimates) -> Tensor:
        """Check final stems and map them to ``(outputs, channels, samples)``."""
        stems = estimates.signals()
        for stem, pairs in zip(self._recipe.track.stems, stems, strict=True):
            if not audio.finite(pairs):
                raise OutputError(
                    f"recipe {self._recipe.name!r} returned a NaN or an infinity in the stem "
                    f"{stem!r}; choose another recipe and report this one"
                )
        signals = (estimates.mixture, *stems)
        return outputs.chosen(
            self._recipe, [audio.from_pairs(signal, self._channels) for signal in signals]
        )


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
