"""Blends one member's outputs into the estimates of the stems."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from demixing.audio import AudioFormat
from demixing.chunks.answer import Answer
from demixing.engine.estimates import Estimates
from demixing.ensemble.blend import RunningAverage
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
    valid = (answer.valid * passes).clamp(0, 1)
    valid = torch.where(valid > 1 - MARGIN, torch.ones_like(valid), valid)
    valid = torch.where(valid < MARGIN, torch.zeros_like(valid), valid)
    if valid.numel() and bool((valid == 1).all() and (answer.valid > 1 - MARGIN).all()):
        return Answer(answer.stems)
    return Answer(answer.stems / answer.valid.clamp(min=MARGIN), valid)


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
        self._subtract = [1 + self._stems.index(stem) for stem in member.subtract]
        # Stems of no earlier member: without an output, they get their share.
        self._untried = {
            stem for stem, one in averages.items() if not set(one.givers).intersection(before)
        }
        self._trust: Trust | None = None
        if member.doubt:
            self._trust = Trust(member.doubt, form.sample_rate_hz, form.groups)
        self.cell = self._trust.cell if self._trust else 1

    def nothing(self, groups: int) -> Estimates:
        """Empty estimates, as they are before this member."""
        return Estimates.none(groups, len(self._stems), len(self._before))

    def input_of(self, estimates: Estimates) -> Tensor:
        """The member's input: the mixture minus some stems, ``(groups, 2, samples)``."""
        return estimates.mixture - estimates.signals[:, self._subtract].sum(dim=1)

    def without_answer(self, estimates: Estimates) -> Estimates:
        """The estimates after a member without output."""
        none = estimates.answered.new_zeros(len(estimates.answered), 1, estimates.samples)
        signals = [estimates.mixture, *self._untouched(estimates).values()]
        return Estimates(torch.stack(signals, dim=1), torch.cat([estimates.answered, none], dim=1))

    def with_answer(self, estimates: Estimates, answer: Answer) -> Estimates:
        """The estimates updated by the member's output.

        Args:
            estimates: for the same samples.
            answer: the member's output after :func:`full_validity`.
        """
        groups = len(estimates.signals)
        if answer.valid is None:
            valid = estimates.answered.new_ones(groups, 1, estimates.samples)
        else:
            valid = answer.valid[:, 0]
        stems = dict(zip(self._averages, answer.stems.unbind(1), strict=True))
        if self._trust:
            valid = valid * self._believed(self._trust, estimates, stems, valid)
        result = self._untouched(estimates)
        for stem in self._stems:
            if stem not in stems:
                continue
            if self._tap:
                self._tap(self.member.name, stem, stems[stem])
            result[stem] = self._updated(stem, result[stem], stems[stem], valid, estimates)
        signals = torch.stack([estimates.mixture, *result.values()], dim=1)
        return Estimates(signals, torch.cat([estimates.answered, valid], dim=1))

    def _untouched(self, estimates: Estimates) -> dict[str, Tensor]:
        """The estimates where the member has no output, by stem."""
        found = dict(zip(self._stems, estimates.signals[:, 1:].unbind(1), strict=True))
        if self._untried:
            share = self._share * self.input_of(estimates)
            found |= dict.fromkeys(self._untried.intersection(found), share)
        return found

    def _believed(
        self, trust: Trust, estimates: Estimates, stems: Mapping[str, Tensor], valid: Tensor
    ) -> Tensor:
        """Trust in the output where others can replace it, ``(groups, 1, samples)``."""
        others = torch.ones_like(valid)
        for average in self._averages.values():
            before = [n for n, name in enumerate(self._before) if name in average.givers]
            if not before:
                return others
            others = others.minimum(estimates.answered[:, before].amax(dim=1, keepdim=True))
        assert self.member.doubt is not None
        stem = self.member.doubt.stem
        estimate = estimates.signals[:, 1 + self._stems.index(stem)]
        difference = others * valid * (stems[stem] - estimate)
        return 1 - others * (1 - trust.of(difference, estimates.mixture))

    def _updated(
        self, stem: str, estimate: Tensor, answer: Tensor, valid: Tensor, estimates: Estimates
    ) -> Tensor:
        """One stem's updated estimate; the output fades in where it becomes valid."""
        after = torch.zeros_like(estimate)
        for before, chance in self._who_answered(stem, estimates.answered):
            update = self._averages[stem].update(before, self.member.name)
            now = update.add * answer
            if update.keep:
                now = now + update.keep * estimate
            if update.mix:
                now = now + update.mix * estimates.mixture
            after = after + chance * now
        if bool((valid == 1).all()):
            return after
        return valid * after + (1 - valid) * estimate

    def _who_answered(
        self, stem: str, answered: Tensor
    ) -> Iterator[tuple[frozenset[str], Tensor | float]]:
        """Yield the sets of members that may have output for a stem, each with its weight."""
        givers = [
            (name, answered[:, number : number + 1])
            for number, name in enumerate(self._before)
            if name in self._averages[stem].givers
        ]
        always = {name for name, part in givers if bool((part == 1).all())}
        never = {name for name, part in givers if not bool(part.any())}
        mixed = [(name, part) for name, part in givers if name not in always | never]
        for some in itertools.product((True, False), repeat=len(mixed)):
            chance: Tensor | float = 1.0
            for (_, part), yes in zip(mixed, some, strict=True):
                chance = chance * (part if yes else 1 - part)
            who = {name for (name, _), yes in zip(mixed, some, strict=True) if yes}
            yield frozenset(always | who), chance
