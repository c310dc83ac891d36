"""Plans a song for the available time: members, their settings and their priority.

All choices of members and settings that fit the time and memory are compared by the validation
scores of their blends. The best is chosen, and the cheaper one of two equals. If time runs short,
members with more gain per second have priority, except that a member needs those whose stems it
subtracts. Members that are not planned come last and use the time that is left.

The plan decides which members run, never the order in which their outputs are added: that is always
the recipe's, so the same members give bit-identical results.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from demixing.ensemble.setting import Setting
from demixing.recipes.expected_score import Choice, score_db
from demixing.recipes.recipe import Recipe
from demixing.schedule.budget import TimeBudget
from demixing.schedule.costs import Cost

MOST = 20_000
"""Maximum number of choices to compare; beyond it, the plan grows member by member."""

Chunks = Callable[[int, Setting], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a recipe is applied to one song.

    Attributes:
        priority: indices of all members; each one leaves enough time for those before it.
        planned: the members that there is time for.
        settings: one per member of the recipe.
        expected_s: expected time of the planned members in seconds, without a margin.
    """

    priority: tuple[int, ...]
    planned: frozenset[int]
    settings: tuple[Setting, ...]
    expected_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A choice that the planner compares.

    Attributes:
        choice: a setting per member; None for a member that does not run.
        seconds: expected time for the song, without a margin.
        score_db: expected score, see :mod:`demixing.recipes.expected_score`.
    """

    choice: Choice
    seconds: float
    score_db: float


def without_limits(recipe: Recipe, *, best: bool = False) -> Plan:
    """Plan for a song without a deadline: all members run.

    Args:
        recipe: the recipe.
        best: use each member's setting with the highest gain instead of the first.
    """
    everyone = range(len(recipe.members))
    settings = [
        max(member.settings, key=lambda one: one.gain_db) if best else member.settings[0]
        for member in recipe.members
    ]
    return Plan(priority=tuple(everyone), planned=frozenset(everyone), settings=tuple(settings))


def plan(
    recipe: Recipe,
    costs: Sequence[Cost | None],
    chunks: Chunks,
    *,
    budget_s: float,
    memory_bytes: float = math.inf,
) -> Plan:
    """Choose members, their settings and their priority.

    Args:
        recipe: the recipe to choose from.
        costs: of each member; None for a member that cannot run.
        chunks: returns a member's work with a setting, in full chunks.
        budget_s: seconds for the whole song.
        memory_bytes: working memory that a member may use, beyond its weights.
    """
    planner = _Planner(recipe, costs, chunks, budget_s, memory_bytes)
    settings = planner.best()
    priority, planned = planner.ordered(settings)
    first = [member.settings[0] for member in recipe.members]
    return Plan(
        priority=priority,
        planned=planned,
        settings=tuple(one or cheap for one, cheap in zip(settings, first, strict=True)),
        expected_s=planner.seconds(settings),
    )


def compared(
    recipe: Recipe,
    costs: Sequence[Cost | None],
    chunks: Chunks,
    *,
    memory_bytes: float = math.inf,
) -> list[Candidate]:
    """All choices that :func:`plan` compares when time is not limited; see there for arguments."""
    planner = _Planner(recipe, costs, chunks, math.inf, memory_bytes)
    choices = dict.fromkeys(choice for tried, _ in planner.rounds() for choice in tried)
    return [
        Candidate(choice=choice, seconds=planner.seconds(choice), score_db=score_db(recipe, choice))
        for choice in choices
    ]


@dataclass(frozen=True, slots=True)
class _Planner:
    """The arguments of :func:`plan`."""

    recipe: Recipe
    costs: Sequence[Cost | None]
    chunks: Chunks
    budget_s: float
    memory_bytes: float

    def best(self) -> Choice:
        """The best choice that fits."""
        *_, (_, best) = self.rounds()
        return best

    def rounds(self) -> Iterator[tuple[list[Choice], Choice]]:
        """Compare all choices; if there are too many, improve one member at a time.

        Yields:
            The choices of a round, and the best of them that fits.
        """
        options = [self._options(index) for index in range(len(self.recipe.members))]
        if math.prod(map(len, options)) <= MOST:
            choices = list(itertools.product(*options))
            yield choices, self._best_of(choices)
            return
        choice: Choice = (None,) * len(options)
        while True:
            nexts = [
                (*choice[:index], setting, *choice[index + 1 :])
                for index, settings in enumerate(options)
                for setting in settings
            ]
            better = self._best_of([choice, *nexts])
            yield [choice, *nexts], better
            if better == choice:
                return
            choice = better

    def _options(self, index: int) -> list[Setting | None]:
        """The choices for a member: not to run, or to run with one of its settings."""
        cost = self.costs[index]
        if cost is None or cost.memory_bytes > self.memory_bytes:
            return [None]
        return [None, *self.recipe.members[index].settings]

    def _best_of(self, choices: Iterable[Choice]) -> Choice:
        """The best choice that fits; the empty one always does."""
        nothing: Choice = (None,) * len(self.recipe.members)
        fitting = (choice for choice in choices if self._fits(choice))
        return max(
            fitting,
            key=lambda choice: (round(score_db(self.recipe, choice), 6), -self.seconds(choice)),
            default=nothing,
        )

    def _fits(self, choice: Choice) -> bool:
        return TimeBudget.MARGIN * self.seconds(choice) <= self.budget_s

    def seconds(self, choice: Choice) -> float:
        """Expected time of a choice in seconds."""
        return sum(self._seconds(index, setting) for index, setting in enumerate(choice) if setting)

    def _seconds(self, index: int, setting: Setting) -> float:
        """Expected time of one member in seconds; 0 if its cost is unknown."""
        cost = self.costs[index]
        if cost is None or math.isnan(cost.chunk_s):
            return 0.0
        return cost.chunk_s * self.chunks(index, setting)

    def ordered(self, choice: Choice) -> tuple[tuple[int, ...], frozenset[int]]:
        """Order members by gain per second, and mark those that are planned."""
        members = self.recipe.members
        able = [index for index, cost in enumerate(self.costs) if cost is not None]
        planned = [index for index in able if choice[index]]
        # Members that cannot run keep their place, because later members subtract their stems.
        stand_ins = [index for index in range(len(members)) if index not in able]
        extras = [index for index in able if not choice[index]]
        first = tuple(
            one or member.settings[0] for one, member in zip(choice, members, strict=True)
        )
        order = self._by_gain((), planned + stand_ins, first)
        order = self._by_gain(order, extras, first)
        return order, frozenset(planned)

    def _by_gain(
        self, order: tuple[int, ...], waiting: Sequence[int], settings: tuple[Setting, ...]
    ) -> tuple[int, ...]:
        """Append members to an order, highest gain per second first."""
        waiting = list(waiting)
        while waiting:
            ready = [index for index in waiting if not self._must_wait(index, waiting)] or waiting
            gains = [self._gain_per_second(order, index, settings) for index in ready]
            best = ready[gains.index(max(gains))]
            order = (*order, best)
            waiting.remove(best)
        return order

    def _gain_per_second(
        self, order: tuple[int, ...], index: int, settings: tuple[Setting, ...]
    ) -> float:
        """Gain in score over the members before it, per second of the member's cost."""
        before_db = score_db(self.recipe, self._only(order, settings))
        gain_db = score_db(self.recipe, self._only((*order, index), settings)) - before_db
        return gain_db / max(self._seconds(index, settings[index]), 1e-9)

    def _must_wait(self, index: int, waiting: Sequence[int]) -> bool:
        """Whether a member subtracts a stem of another one that is not in the order yet."""
        members = self.recipe.members
        return any(
            stem in members[other].outputs
            for other in waiting
            if other != index
            for stem in members[index].subtract
        )

    def _only(self, indices: Sequence[int], settings: tuple[Setting, ...]) -> Choice:
        """The choice of some members, as far as they can run."""
        return tuple(
            setting if index in indices and self.costs[index] is not None else None
            for index, setting in enumerate(settings)
        )
