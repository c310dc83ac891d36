"""A recipe at work: songs stream in, stems stream out, memory stays constant."""

import dataclasses
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator

from torch import Tensor

from my_submission import audio, passes, planner, separators
from my_submission.budget import Deadline, Guard
from my_submission.careful import Careful
from my_submission.costs import Cost, Costs
from my_submission.errors import CheckpointError, ConfigError, SongError
from my_submission.helper import Helper, Run
from my_submission.lanes import Lanes, Tap, Turn
from my_submission.level import Level
from my_submission.planner import Plan
from my_submission.recipe import Member, Recipe, Setting
from my_submission.registry import did_you_mean
from my_submission.separators import Separator

logger = logging.getLogger(__name__)


class Demixer:
    """Builds the members of a recipe once and separates any number of songs with them.

    Args:
        recipe: what to do.
        forgiving: a member that cannot be built, because its weights are missing or damaged, is
            logged and left out.
        costs: what the members cost on this machine, for planning; without it they are taken to
            cost nothing until they have worked.
        without: indices of members that are left out.
        memory_bytes: what a member may need at work, beyond its weights.
        asked: is called with the index of a member before it is built, measured or called, and
            with -1 after.

    Attributes:
        recipe: as given.
        asked: as given; may be replaced.
        costs: of each member, corrected by each song.

    Raises:
        ConfigError: a member's name or options are wrong.
        CheckpointError: a member's weights are missing or damaged.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        forgiving: bool = False,
        costs: Costs | None = None,
        without: frozenset[int] = frozenset(),
        memory_bytes: float = math.inf,
        asked: Callable[[int], None] = lambda index: None,
    ) -> None:
        self.recipe = recipe
        self.asked = asked
        self._forgiving = forgiving
        self._memory_bytes = memory_bytes
        self._run: Run = Helper()
        self._separators: list[Separator | None] = []
        self.costs: list[Cost] = []
        for index, member in enumerate(recipe.members):
            self.asked(index)
            separator = None if index in without else self._build(member)
            self._separators.append(separator)
            self.costs.append(self._cost(costs, member, separator))
            self.asked(-1)

    def _build(self, member: Member) -> Separator | None:
        """Build one member and check that it has the stems that the recipe asks it for."""
        try:
            separator = separators.build(member.separator, member.options)
        except CheckpointError as error:
            if not self._forgiving:
                raise
            logger.error("%s is left out: %s", member.name, error)
            return None
        for part in itertools.chain(*member.gives.values()):
            if part not in separator.stems:
                raise ConfigError(
                    f"recipe {self.recipe.name!r}: separator {member.separator!r} has no stem "
                    f"{part!r}{did_you_mean(part, list(separator.stems))}"
                )
        return separator

    def _cost(self, costs: Costs | None, member: Member, separator: Separator | None) -> Cost:
        """Look up what a member costs; what cannot be measured may still be asked."""
        if costs is None or separator is None:
            return Cost()
        try:
            return costs.of(member.separator, member.options, separator)
        except Exception as error:
            if not self._forgiving:
                raise
            logger.warning("%s: cannot be measured: %s", member.name, error)
            return Cost()

    @property
    def normalises(self) -> bool:
        """Whether a member needs the level of a song before it hears the song."""
        return any(
            separator and separators.wanted_level(separator) for separator in self._separators
        )

    def stream(
        self,
        blocks: Iterable[Tensor],
        sample_rate_hz: int,
        *,
        samples: int | None = None,
        deadline: Deadline | None = None,
        best: bool = False,
        tap: Tap | None = None,
        level: Level | None = None,
    ) -> Iterator[Tensor]:
        """Separate a song that comes in blocks.

        With a deadline there is always an answer in time: what the members have found by then,
        and shares of the mixture where no member has found anything. Without one all members
        work, and their errors are raised.

        Args:
            blocks: ``(channels, samples)`` of any lengths, together the song.
            sample_rate_hz: of the song.
            samples: length of the song, which is needed to plan for a deadline.
            deadline: when the answer must be there.
            best: without a deadline, take as much care as the recipe knows of.
            tap: see :class:`my_submission.lanes.Lanes`.
            level: of the song, which is needed if :attr:`normalises`.

        Yields:
            ``(stems, channels, samples)``, the stems in the order of the recipe's track; together
            as long as the song.

        Raises:
            SongError: the song is empty, not finite, or of a format that cannot be separated.
            OutputError: a member answered with a NaN or an infinity.
            ValueError: there is a deadline but no length, or a level is needed and not given.
        """
        if deadline is not None and samples is None:
            raise ValueError("a deadline cannot be kept without the song's length in samples")
        song: Lanes | None = None
        guard: Guard | None = None
        plan = planner.without_limits(self.recipe, best=best)
        start = 0
        for block in blocks:
            if song is None:
                audio.check_format(sample_rate_hz, block.shape[0])
                if deadline is not None and samples is not None:
                    form = (samples, sample_rate_hz, len(audio.pairs_of(block.shape[0])))
                    plan = self.plan(*form, budget_s=deadline.remaining_s)
                    guard = self._guard(plan, deadline, *form)
                song = Lanes(
                    self.recipe,
                    self._turns(plan, guard),
                    [self.recipe.members[index].name for index in plan.planned],
                    sample_rate_hz,
                    block.shape[0],
                    tap,
                    level,
                )
            audio.check_finite(block, start)
            start += block.shape[-1]
            yield song.push(block)
        if song is None or start == 0:
            raise SongError("expected a song of at least one sample, got an empty one")
        yield song.finish()
        if guard is not None:
            self._learn(plan, guard)

    def plan(self, samples: int, sample_rate_hz: int, groups: int, *, budget_s: float) -> Plan:
        """Choose what to do with a song.

        Args:
            samples: length of the song.
            sample_rate_hz: of the song.
            groups: its stereo pairs.
            budget_s: seconds that it may take.
        """
        able = zip(self.costs, self._separators, strict=True)
        return planner.plan(
            self.recipe,
            [cost if separator else None for cost, separator in able],
            lambda index, setting: self.chunks(index, setting, samples, sample_rate_hz, groups),
            budget_s=budget_s,
            memory_bytes=self._memory_bytes,
        )

    def chunks(
        self, index: int, setting: Setting, samples: int, sample_rate_hz: int, groups: int
    ) -> int:
        """How many chunks of a song a member is asked for."""
        separator = self._separators[index]
        if separator is None:
            return 0
        rate_hz = separator.sample_rate_hz or sample_rate_hz
        own = math.ceil(samples * rate_hz / sample_rate_hz)
        return groups * passes.count(separator, setting, own)

    def _guard(
        self, plan: Plan, deadline: Deadline, samples: int, sample_rate_hz: int, groups: int
    ) -> Guard:
        """Make the guard that keeps the time of one song."""
        form = (samples, sample_rate_hz, groups)
        return Guard(
            deadline,
            [self.chunks(index, plan.settings[index], *form) for index in plan.order],
            [self.costs[index].chunk_s for index in plan.order],
        )

    def _turns(self, plan: Plan, guard: Guard | None) -> list[Turn]:
        """Put the members in their order, wrapped for one song if there is a deadline."""
        turns = []
        for turn, index in enumerate(plan.order):
            separator = self._separators[index]
            if separator is not None and guard is not None:
                separator = Careful(
                    name=self.recipe.members[index].name,
                    inner=separator,
                    guard=guard,
                    turn=turn,
                    run=self._run,
                    watch=lambda busy, index=index: self.asked(index if busy else -1),  # type: ignore[misc]
                )
            turns.append(
                Turn(
                    member=self.recipe.members[index],
                    separator=separator,
                    setting=plan.settings[index],
                    batch=self.costs[index].batch,
                )
            )
        return turns

    def _learn(self, plan: Plan, guard: Guard) -> None:
        """Keep what the song has taught about the members' costs, for the next one."""
        for index, chunk_s in zip(plan.order, guard.costs_s, strict=True):
            self.costs[index] = dataclasses.replace(self.costs[index], chunk_s=chunk_s)
