"""Blends one member's outputs into the estimates of the stems."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from demixing.audio import AudioFormat
from demixing.chunks.answer import Answer
from demixing.engine.estimates import Estimates, Presence, Stem, filled, reduced, signal
from demixing.ensemble.blend import RunningAverage, Update
from demixing.ensemble.doubt import Trust
from demixing.recipes.member import Member

MARGIN = 1e-3
"""Validity below this is taken as 0, and within it of 1 as 1."""

Tap = Callable[[str, str, Tensor], None]
"""Called with the name of a member, a stem, and the member's output for it, ``(groups, 2,
samples)``, block by block."""


def full_validity(answer: Answer, passes: int) -> Answer:
    """Scale stems to full validity, and round validity that is nearly 0 or 1.

    Args:
        answer: the mean of several passes. One valid pass is enough for full validity.
        passes: number of passes.
    """
    if answer.valid is None:
        return answer
    if not answer.samples:
        return answer
    low, high = map(float, torch.aminmax(answer.valid))
    if low > 1 - MARGIN and high < 1 + MARGIN:
        return Answer(answer.stems)
    valid = (answer.valid * passes).clamp(0, 1)
    valid = torch.where(valid > 1 - MARGIN, torch.ones_like(valid), valid)
    valid = torch.where(valid < MARGIN, torch.zeros_like(valid), valid)
    # Each sample is decided by itself, so the result does not depend on the blocks.
    full = (answer.valid > 1 - MARGIN) & (answer.valid < 1 + MARGIN)
    divisor = torch.where(full, torch.ones_like(valid), answer.valid.clamp(min=MARGIN))
    return Answer(answer.stems / divisor, valid)


class MemberBlend:
    """Updates the estimates with the outputs of one member.

    Args:
        member: of the recipe.
        stems: names of the stems that are estimated.
        before: names of the members that run before this one.
        averages: running averages of the member's stems, by stem.
        share: fraction of the member's input that each of its stems gets if no member has output
            for it.
        form: of the song.
        tap: called with each output.

    Attributes:
        member: as given.
        cell: outputs are blended in multiples of this many samples, except at the end.
    """

    def __init__(
        self,
        member: Member,
        stems: Sequence[str],
        before: Sequence[str],
        averages: Mapping[str, RunningAverage],
        *,
        share: float,
        form: AudioFormat,
        tap: Tap | None = None,
    ) -> None:
        self.member = member
        self._stems = tuple(stems)
        self._before = tuple(before)
        self._averages = averages
        self._share = share
        self._tap = tap
        self._subtract = [self._stems.index(stem) for stem in member.subtract]
        self._updates: dict[tuple[str, frozenset[str]], Update] = {}
        # Stems of no earlier member: without an output, they get their share.
        self._untried = {
            stem for stem, one in averages.items() if not set(one.givers).intersection(before)
        }
        self._trust: Trust | None = None
        if member.doubt:
            self._trust = Trust(member.doubt, form.sample_rate_hz, form.groups)
        self.cell = self._trust.cell if self._trust else 1

    def input_of(self, estimates: Estimates) -> Tensor:
        """The member's input: the mixture minus some stems, ``(groups, 2, samples)``."""
        if not self._subtract:
            return estimates.mixture
        mixture, stems = estimates.mixture, estimates.stems
        return mixture - total([signal(stems[index], mixture) for index in self._subtract])

    def without_answer(self, estimates: Estimates) -> Estimates:
        """The estimates after a member without output."""
        return Estimates(
            estimates.mixture,
            tuple(self._untouched(estimates).values()),
            (*estimates.answered, 0.0),
        )

    def with_answer(self, estimates: Estimates, answer: Answer) -> Estimates:
        """The estimates updated by the member's output.

        Args:
            estimates: for the same samples.
            answer: the member's output after :func:`full_validity`.
        """
        valid: Presence = 1.0 if answer.valid is None else answer.valid[:, 0]
        stems = dict(zip(self._averages, answer.stems.unbind(1), strict=True))
        if self._trust:
            valid = valid * self._believed(self._trust, estimates, stems, valid)
        valid = reduced(valid)
        # Where the output is valid, it needs no estimate that is only a share.
        partly = isinstance(valid, Tensor) or valid < 1
        result = self._untouched(estimates) if partly else self._known(estimates)
        for stem in self._stems:
            if stem not in stems:
                continue
            if self._tap:
                self._tap(self.member.name, stem, stems[stem])
            result[stem] = self._updated(stem, result[stem], stems[stem], valid, estimates)
        return Estimates(estimates.mixture, tuple(result.values()), (*estimates.answered, valid))

    def _known(self, estimates: Estimates) -> dict[str, Stem]:
        """The estimates by stem."""
        return dict(zip(self._stems, estimates.stems, strict=True))

    def _untouched(self, estimates: Estimates) -> dict[str, Stem]:
        """The estimates where the member has no output, by stem."""
        found = self._known(estimates)
        if self._untried:
            share = self._share * self.input_of(estimates)
            found |= dict.fromkeys(self._untried.intersection(found), share)
        return found

    def _believed(
        self, trust: Trust, estimates: Estimates, stems: Mapping[str, Tensor], valid: Presence
    ) -> Tensor:
        """Trust in the output where others can replace it, ``(groups, 1, samples)``."""
        mixture = estimates.mixture
        others = filled(1.0, mixture)
        for average in self._averages.values():
            before = [
                filled(part, mixture)
                for name, part in zip(self._before, estimates.answered, strict=True)
                if name in average.givers
            ]
            if not before:
                return others
            others = others.minimum(functools.reduce(torch.maximum, before))
        assert self.member.doubt is not None
        stem = self.member.doubt.stem
        estimate = signal(estimates.stems[self._stems.index(stem)], mixture)
        difference = others * valid * (stems[stem] - estimate)
        return 1 - others * (1 - trust.of(difference, mixture))

    def _updated(
        self, stem: str, estimate: Stem, answer: Tensor, valid: Presence, estimates: Estimates
    ) -> Stem:
        """One stem's updated estimate; the output fades in where it becomes valid."""
        after: Tensor | None = None
        for before, chance in self._who_answered(stem, estimates.answered):
            now = _changed(self._update(stem, before), estimate, answer, estimates.mixture)
            now = now if chance is None else now * chance
            after = now if after is None else after + now
        assert after is not None  # there is always one set, possibly an empty one
        if not isinstance(valid, Tensor):
            return after if valid else estimate
        return valid * after + (1 - valid) * signal(estimate, estimates.mixture)

    def _update(self, stem: str, before: frozenset[str]) -> Update:
        """How the output changes the estimate of a stem; the same for all blocks."""
        if (stem, before) not in self._updates:
            update = self._averages[stem].update(before, self.member.name)
            self._updates[stem, before] = update
        return self._updates[stem, before]

    def _who_answered(
        self, stem: str, answered: Sequence[Presence]
    ) -> Iterator[tuple[frozenset[str], Tensor | None]]:
        """Yield the sets of members that may have output for a stem, each with its weight.

        No weight: there is no other set.
        """
        givers = [
            (name, part)
            for name, part in zip(self._before, map(reduced, answered), strict=True)
            if name in self._averages[stem].givers
        ]
        always = {name for name, part in givers if not isinstance(part, Tensor) and part}
        mixed = [(name, part) for name, part in givers if isinstance(part, Tensor)]
        for some in itertools.product((True, False), repeat=len(mixed)):
            chances = [
                part if yes else 1 - part for (_, part), yes in zip(mixed, some, strict=True)
            ]
            who = {name for (name, _), yes in zip(mixed, some, strict=True) if yes}
            chance = functools.reduce(torch.mul, chances) if chances else None
            yield frozenset(always | who), chance


def total(signals: Sequence[Tensor]) -> Tensor:
    """Sum of at least one signal; the result may be the signal itself."""
    if len(signals) == 1:
        return signals[0]
    result = signals[0] + signals[1]
    for one in signals[2:]:
        result.add_(one)
    return result


def _changed(update: Update, estimate: Stem, answer: Tensor, mixture: Tensor) -> Tensor:
    """Apply an update; the result is the output itself where it needs no change."""
    if update == (0.0, 1.0, 0.0):
        return answer
    now = update.add * answer
    if update.keep:
        now.add_(update.keep * signal(estimate, mixture))
    if update.mix:
        now.add_(update.mix * mixture)
    return now
