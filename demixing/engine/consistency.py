"""Mixture consistency: shares the residual among the stems, then removes leakage.

The residual is the mixture minus all stems. In some recipes it is itself a stem; in others, each
stem gets a share of it. Then the leakage filter removes what loud stems have leaked into faint
ones. Members that may be doubted run after this stage: they are compared with the best stems that
the others can produce, and a strong member needs neither correction.

Source of the shares: Wisdom et al., "Differentiable consistency constraints for improved deep
speech enhancement", ICASSP 2019.
"""

import torch
from torch import Tensor

from demixing.audio import AudioFormat
from demixing.engine.estimates import Estimates
from demixing.engine.leakage_filter import LeakageFilter
from demixing.recipes.recipe import Recipe


class Consistency:
    """A stage of the pipeline, like a member's; see :class:`demixing.chunks.stream.Stream`.

    Args:
        recipe: defines the residual or the shares, and the leaks.
        stems: names of the input stems, in the order of the signals.
        members: number of members before this stage.
        form: of the song.

    The output estimates have all stems of the track.
    """

    def __init__(self, recipe: Recipe, stems: list[str], members: int, form: AudioFormat) -> None:
        self._recipe = recipe
        self._stems = tuple(stems)
        self._filter: LeakageFilter | None = None
        if recipe.leaks or recipe.consistency_above_hz:
            above_hz = recipe.consistency_above_hz
            self._filter = LeakageFilter(
                recipe.leaks,
                recipe.track.stems,
                form.sample_rate_hz,
                form.groups,
                shares=recipe.consistency if above_hz else {},
                above_hz=above_hz,
            )
        self._waiting = Estimates.none(form.groups, 0, members)  # the mixture alone

    def push(self, estimates: Estimates) -> Estimates:
        """See :class:`demixing.chunks.stream.Stream`."""
        stems, mixture = self._complete(estimates), estimates.signals[:, :1]
        if self._filter is None:
            return Estimates(torch.cat([mixture, stems], dim=1), estimates.answered)
        alone = Estimates(mixture, estimates.answered)
        self._waiting = Estimates.joined([self._waiting, alone])
        return self._with_mixture(self._filter.push(torch.cat([stems, mixture], dim=1)))

    def finish(self) -> Estimates:
        """See :class:`demixing.chunks.stream.Stream`."""
        if self._filter is None:
            stems = self._waiting.signals.expand(-1, len(self._recipe.track.stems), -1, -1)
            return self._with_mixture(stems)
        return self._with_mixture(self._filter.finish())

    def _with_mixture(self, stems: Tensor) -> Estimates:
        """Join final stems with the buffered mixture."""
        ready, self._waiting = self._waiting.split(stems.shape[-1])
        return Estimates(torch.cat([ready.signals, stems], dim=1), ready.answered)

    def _complete(self, estimates: Estimates) -> Tensor:
        """All stems of the track, ``(groups, stems, 2, samples)``, with the residual shared."""
        recipe = self._recipe
        found = dict(zip(self._stems, estimates.signals[:, 1:].unbind(1), strict=True))
        left = estimates.mixture - estimates.signals[:, 1:].sum(dim=1)
        if recipe.residual:
            found[recipe.residual] = left
        if not recipe.consistency_above_hz:
            for stem, share in recipe.consistency.items():
                found[stem] = found[stem] + share * left
        return torch.stack([found[stem] for stem in recipe.track.stems], dim=1)
