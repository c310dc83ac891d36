"""One song on its way through the members of a recipe.

The song passes from member to member as *lanes*, aligned to the sample: the mixture, then an
estimate of each stem, at first a share of the mixture. A member hears the mixture minus some of
these estimates and adds its own answer to others, by the blend of those who have answered.
Because it answers later than it is asked, the lanes wait for it in a queue no longer than its
chunk. A second tensor says for each sample which members have answered.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from demixing import audio
from demixing.chunks.overlap_add import Done
from demixing.chunks.tta import Passes
from demixing.engine.finishing import Finishing
from demixing.engine.normalisation import Level, Normaliser
from demixing.ensemble.blend import Chain
from demixing.ensemble.doubt import Trust
from demixing.ensemble.setting import Setting
from demixing.errors import OutputError
from demixing.recipes.recipe import Member, Recipe
from demixing.separator import ANSWERED, Separator

SURE = 1e-3
"""An answer that counts less than this does not count, one that counts so nearly all does so."""

Tap = Callable[[str, str, Tensor], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A member at its place in the recipe.

    Attributes:
        member: of the recipe.
        separator: asks it; None if it cannot work.
        setting: how much care it may take.
        batch: chunks at once.
        samples: length of the song at the member's rate, if a short song may be cut into
            shorter chunks.
        done: is called with the number of chunks that are behind it.
    """

    member: Member
    separator: Separator | None
    setting: Setting
    batch: int = 1
    samples: int | None = None
    done: Done = lambda chunks: None


class Lanes:
    """Streams one song.

    Args:
        recipe: what the stems are made of.
        turns: its members, in the recipe's order.
        planned: names of those members that there is time for.
        sample_rate_hz: of the song.
        channels: of the song.
        tap: is called with the name of a member, a stem and the member's answer for it,
            ``(groups, 2, samples)``, as the song streams past.
        level: of the song, for members that want it.
    """

    def __init__(
        self,
        recipe: Recipe,
        turns: Sequence[Turn],
        planned: Sequence[str],
        sample_rate_hz: int,
        channels: int,
        tap: Tap | None = None,
        level: Level | None = None,
    ) -> None:
        self._recipe = recipe
        self._channels = channels
        groups = len(audio.pairs_of(channels))
        # One that may be doubted is added to what the others would make without it.
        able = {
            turn.member.name
            for turn in turns
            if turn.separator and turn.member.name in planned and not turn.member.doubt
        }
        chains = {}
        for stem in recipe.track.stems:
            givers = recipe.givers(stem)
            chains[stem] = Chain(stem, recipe.blends, givers, frozenset(able).intersection(givers))
        names = self._names = [stem for stem in recipe.track.stems if stem != recipe.residual]
        self._stages: list[_Stage | Finishing] = []
        asked: list[str] = []
        finishing: Finishing | None = None
        for turn in turns:
            if turn.member.doubt and finishing is None:
                finishing = Finishing(recipe, names, len(asked), sample_rate_hz, groups)
                self._stages.append(finishing)
                names = list(recipe.track.stems)
            stage = _Stage(
                turn,
                lanes=names,
                asked=list(asked),
                chains={stem: chains[stem] for stem in turn.member.outputs},
                share=1 / (len(recipe.track.stems) - len(turn.member.subtract)),
                sample_rate_hz=sample_rate_hz,
                groups=groups,
                tap=tap,
                level=level,
            )
            self._stages.append(stage)
            asked.append(turn.member.name)
        if finishing is None:
            self._stages.append(Finishing(recipe, names, len(asked), sample_rate_hz, groups))

    def push(self, block: Tensor) -> Tensor:
        """Map the next ``(channels, samples)`` to the stems that are finished."""
        mixture = audio.to_pairs(block)[:, None]
        share = mixture / len(self._recipe.track.stems)
        lanes = torch.cat([mixture, share.expand(-1, len(self._names), -1, -1)], dim=1)
        answered = lanes.new_zeros(len(lanes), 0, lanes.shape[-1])
        for stage in self._stages:
            lanes, answered = stage.push(lanes, answered)
        return self._checked(lanes)

    def finish(self) -> Tensor:
        """Return all stems that are still owed."""
        late: tuple[Tensor, Tensor] | None = None
        for stage in self._stages:
            parts = [stage.push(*late)] if late else []
            parts.append(stage.finish())
            lanes, answered = zip(*parts, strict=True)
            late = torch.cat(lanes, dim=-1), torch.cat(answered, dim=-1)
        assert late is not None  # a recipe has a member, or its stems would not be complete
        return self._checked(late[0])

    def _checked(self, lanes: Tensor) -> Tensor:
        """Map finished lanes to ``(stems, channels, samples)``, if they can be used."""
        for stem, pairs in zip(self._recipe.track.stems, lanes[:, 1:].unbind(1), strict=True):
            if not torch.isfinite(pairs).all():
                raise OutputError(
                    f"recipe {self._recipe.name!r} answered with a NaN or an infinity in the stem "
                    f"{stem!r}; choose another recipe and report this one"
                )
        return audio.from_pairs(lanes[:, 1:], self._channels)


class _Stage:
    """One member at work on one song: resampled to its rate, chunked, resampled back, blended.

    Args:
        turn: the member.
        lanes: names of the stems that have an estimate.
        asked: names of the members that come before.
        chains: how the member's answers change the estimates, by stem.
        share: of what it hears, which each of its stems gets if nobody answers.
        sample_rate_hz: of the song.
        groups: stereo pairs of the song.
        tap: see :class:`Lanes`.
        level: of the song.
    """

    def __init__(
        self,
        turn: Turn,
        *,
        lanes: Sequence[str],
        asked: Sequence[str],
        chains: dict[str, Chain],
        share: float,
        sample_rate_hz: int,
        groups: int,
        tap: Tap | None,
        level: Level | None,
    ) -> None:
        self._names = lanes
        self._turn = turn
        self._minus = [1 + lanes.index(stem) for stem in turn.member.subtract]
        self._asked = asked
        self._chains = chains
        # Stems that nobody before has tried: where I fail, they get a share of what I hear.
        self._fresh = {
            stem for stem, chain in chains.items() if not set(chain.givers).intersection(asked)
        }
        self._share = share
        self._tap = tap
        self._queue: list[tuple[Tensor, Tensor]] = []
        self._waiting = torch.zeros(groups, 1 + len(lanes), 2, 0)
        self._answered = torch.zeros(groups, len(asked), 0)
        self._trust: Trust | None = None
        if turn.member.doubt:
            self._trust = Trust(turn.member.doubt, sample_rate_hz, groups)
        separator = turn.separator
        if separator is None:
            return
        rate_hz = separator.sample_rate_hz or sample_rate_hz
        own = separator.stems
        self._parts = [[own.index(part) for part in some] for some in turn.member.outputs.values()]
        if ANSWERED in own:
            self._parts.append([own.index(ANSWERED)])
        self._careful = ANSWERED in own
        self._into = audio.Resampler(sample_rate_hz, rate_hz, groups * 2)
        self._back = audio.Resampler(rate_hz, sample_rate_hz, groups * len(self._parts) * 2)
        self._held = torch.zeros(groups, len(self._parts), 2, 0)
        self._normaliser = Normaliser(separator, level, groups)
        self._passes = Passes(
            separator,
            turn.setting,
            groups=groups,
            batch=turn.batch,
            samples=turn.samples,
            done=turn.done,
        )

    def push(self, lanes: Tensor, answered: Tensor) -> tuple[Tensor, Tensor]:
        """Take lanes and return those that have my answer, too.

        Args:
            lanes: ``(groups, lanes, 2, samples)``.
            answered: who has, from 0 to 1, ``(groups, members, samples)``.
        """
        if self._turn.separator is None:
            return self._blend(lanes, answered, None)
        self._queue.append((lanes, answered))
        heard = self._normaliser.into(self._into.push(self._heard(lanes)))
        stems = self._normaliser.back(self._passes.push(heard))
        return self._join(self._back.push(self._gives(stems)))

    def finish(self) -> tuple[Tensor, Tensor]:
        """Return all lanes that still wait for my answer."""
        if self._turn.separator is None:
            return self._blend(self._waiting, self._answered, None)
        silence = self._waiting.new_zeros(len(self._waiting), 2, 0)
        heard = self._normaliser.into(self._into.push(silence, last=True))
        rest = torch.cat([self._passes.push(heard), self._passes.finish()], dim=-1)
        stems = self._back.push(self._gives(self._normaliser.back(rest)), last=True)
        # Two conversions of the rate may gain or lose a sample at the end.
        owed = self._waiting.shape[-1] + sum(lanes.shape[-1] for lanes, _ in self._queue)
        owed -= self._held.shape[-1]
        return self._join(F.pad(stems, (0, owed - stems.shape[-1])), last=True)

    def _heard(self, lanes: Tensor) -> Tensor:
        """What the member hears, ``(groups, 2, samples)``."""
        return lanes[:, 0] - lanes[:, self._minus].sum(dim=1)

    def _gives(self, stems: Tensor) -> Tensor:
        """Sum the separator's stems to those of the track."""
        return torch.stack([stems[:, parts].sum(dim=1) for parts in self._parts], dim=1)

    def _join(self, stems: Tensor, *, last: bool = False) -> tuple[Tensor, Tensor]:
        """Bring answers and the lanes that waited for them together."""
        if self._trust:
            stems = torch.cat([self._held, stems], dim=-1)
            whole = (
                stems.shape[-1] if last else stems.shape[-1] // self._trust.cell * self._trust.cell
            )
            stems, self._held = stems[..., :whole], stems[..., whole:]
        samples = stems.shape[-1]
        if samples:
            lanes, answered = zip(*self._queue, strict=True) if self._queue else ((), ())
            self._waiting = torch.cat([self._waiting, *lanes], dim=-1)
            self._answered = torch.cat([self._answered, *answered], dim=-1)
            self._queue.clear()
        ready, self._waiting = self._waiting[..., :samples], self._waiting[..., samples:]
        who, self._answered = self._answered[..., :samples], self._answered[..., samples:]
        return self._blend(ready, who, stems)

    def _blend(
        self, lanes: Tensor, answered: Tensor, stems: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Let an answer change the estimates.

        Args:
            lanes: ``(groups, lanes, 2, samples)``.
            answered: ``(groups, members, samples)``.
            stems: ``(groups, stems, 2, samples)``, zero where there is no answer; None if there
                never is one.
        """
        sure = self._sure(stems)
        if stems is not None and sure is not None:
            stems = stems[:, :-1] / stems[:, -1:].clamp(min=SURE)
        mine = answered.new_zeros(len(answered), 1, answered.shape[-1])
        if stems is not None:
            mine = mine + 1 if sure is None else sure
            if self._trust:
                mine = mine * self._believed(self._trust, lanes, answered, stems, mine)
        fallback = self._share * self._heard(lanes)
        given = list(self._chains)
        result = [lanes[:, 0]]
        for number, name in enumerate(self._names):
            estimate = lanes[:, 1 + number]
            if name in self._fresh:
                estimate = fallback
            if stems is not None and name in self._chains:
                answer = stems[:, given.index(name)]
                if self._tap:
                    self._tap(self._turn.member.name, name, answer)
                estimate = self._changed(name, estimate, answer, mine, lanes[:, 0], answered)
            result.append(estimate)
        return torch.stack(result, dim=1), torch.cat([answered, mine], dim=1)

    def _believed(
        self, trust: Trust, lanes: Tensor, answered: Tensor, stems: Tensor, mine: Tensor
    ) -> Tensor:
        """How much my answer counts where others could stand in, ``(groups, 1, samples)``."""
        others = torch.ones_like(mine)
        for chain in self._chains.values():
            before = [number for number, name in enumerate(self._asked) if name in chain.givers]
            if not before:
                return others
            others = others.minimum(answered[:, before].amax(dim=1, keepdim=True))
        doubt = self._turn.member.doubt
        assert doubt is not None
        answer = stems[:, list(self._chains).index(doubt.stem)]
        difference = others * mine * (answer - lanes[:, 1 + self._names.index(doubt.stem)])
        return 1 - others * (1 - trust.of(difference, lanes[:, 0]))

    def _sure(self, stems: Tensor | None) -> Tensor | None:
        """How much of each sample is answered, ``(groups, 1, samples)``; None: all of it."""
        if stems is None or not self._careful:
            return None
        sure = stems[:, -1].mean(dim=1, keepdim=True)
        # With several passes a part of them is an answer, too; the mean is taken over that part.
        sure = (sure * self._turn.setting.passes).clamp(0, 1)
        sure = torch.where(sure > 1 - SURE, torch.ones_like(sure), sure)
        sure = torch.where(sure < SURE, torch.zeros_like(sure), sure)
        return None if sure.numel() and bool((sure == 1).all()) and self._whole(stems) else sure

    def _whole(self, stems: Tensor) -> bool:
        """Whether every pass has answered everywhere."""
        return bool((stems[:, -1] > 1 - SURE).all())

    def _changed(
        self,
        stem: str,
        estimate: Tensor,
        answer: Tensor,
        mine: Tensor,
        mixture: Tensor,
        answered: Tensor,
    ) -> Tensor:
        """The estimate after my answer, faded in where the answer begins."""
        after = torch.zeros_like(estimate)
        name = self._turn.member.name
        chain = self._chains[stem]
        for who, chance in self._before(stem, answered):
            step = chain.step(who, name)
            now = step.add * answer
            if step.keep:
                now = now + step.keep * estimate
            if step.mix:
                now = now + step.mix * mixture
            after = after + chance * now
        if bool((mine == 1).all()):
            return after
        return mine * after + (1 - mine) * estimate

    def _before(
        self, stem: str, answered: Tensor
    ) -> Iterator[tuple[frozenset[str], Tensor | float]]:
        """Who may have answered for a stem before me, each with how much that is so."""
        givers = [
            (name, answered[:, number : number + 1])
            for number, name in enumerate(self._asked)
            if name in self._chains[stem].givers
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
