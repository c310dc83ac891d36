"""Mixture consistency: shares the residual among the stems, then removes leakage.

The residual is the mixture minus all stems. In some recipes it is itself a stem; in others, each
stem gets a share of it. Then the leakage filter removes what loud stems have leaked into faint
ones. Members that may be doubted run after this stage: they are compared with the best stems that
the others can produce, and a strong member needs neither correction.

Source of the shares: Wisdom et al., "Differentiable consistency constraints for improved deep
speech enhancement", ICASSP 2019.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from demixing.audio import AudioFormat
from demixing.engine.blending import total
from demixing.engine.estimates import Estimates, Queue
from demixing.engine.leakage_filter import LeakageFilter
from demixing.recipes.recipe import Recipe


class Consistency:
    """A stage of the pipeline, like a member's; see :class:`demixing.engine.estimates.Stage`.

    Args:
        recipe: defines the residual or the shares, and the leaks.
        stems: names of the input stems, in their order.
        form: of the song.

    The output estimates have all stems of the track.
    """

    def __init__(self, recipe: Recipe, stems: list[str], form: AudioFormat) -> None:
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
        self._waiting = Queue()  # the mixture alone

    def push(self, estimates: Estimates) -> Iterator[Estimates]:
        """See :class:`demixing.engine.estimates.Stage`."""
        stems = self._complete(estimates)
        if self._filter is None:
            yield Estimates(estimates.mixture, stems, estimates.answered)
            return
        self._waiting.push(Estimates(estimates.mixture, (), estimates.answered))
        signals = torch.stack([*stems, estimates.mixture], dim=1)
        yield from self._with_mixture(self._filter.push(signals))

    def finish(self) -> Iterator[Estimates]:
        """See :class:`demixing.engine.estimates.Stage`."""
        if self._filter is not None:
            yield from self._with_mixture(self._filter.finish())

    def _with_mixture(self, pieces: Iterable[Tensor]) -> Iterator[Estimates]:
        """Join final stems with the buffered mixture."""
        for stems in pieces:
            start = 0
            for ready in self._waiting.take(stems.shape[-1]):
                # A copy, because views would keep all of these stems until the last one is used.
                part = stems[..., start : start + ready.samples].clone()
                start += ready.samples
                yield Estimates(ready.mixture, part.unbind(1), ready.answered)

    def _complete(self, estimates: Estimates) -> tuple[Tensor, ...]:
        """All stems of the track, ``(groups, 2, samples)`` each, with the residual shared."""
        recipe = self._recipe
        stems = estimates.signals()
        found = dict(zip(self._stems, stems, strict=True))
        shares = {} if recipe.consistency_above_hz else recipe.consistency
        if recipe.residual or shares:
            left = estimates.mixture - total(stems)
            if recipe.residual:
                found[recipe.residual] = left
            for stem, share in shares.items():
                found[stem] = (share * left).add_(found[stem])
        return tuple(found[stem] for stem in recipe.track.stems)
