"""Time against quality of all choices that the planner compares for a recipe on this machine.

A choice is a set of members, each with its number of passes (test-time augmentation). Its time is
expected from costs that were measured on this machine, its quality from the scores in the recipe.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demixing.schedule.budget import USED, TimeBudget

if TYPE_CHECKING:
    from demixing.audio import SongFormat
    from demixing.engine.demixer import Demixer
    from demixing.recipes.expected_score import Choice
    from demixing.recipes.recipe import Recipe

ALIKE_DB = 1e-6
"""The planner takes scores that differ by less for equal, and prefers the cheaper choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A choice in the picture.

    Attributes:
        choice: a setting per member; None for a member that does not run.
        members: its members in words, with the number of passes if above 1.
        ratio: seconds of computing per second of audio.
        score_db: expected SDR in dB.
    """

    choice: Choice
    members: str
    ratio: float
    score_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A time limit, and the choice that is planned for it.

    Attributes:
        name: in words.
        ratio: seconds of computing per second of audio; infinity for no limit.
        chosen: the planned choice; None if there is time for no member.
    """

    name: str
    ratio: float
    chosen: Point | None

    @property
    def planned(self) -> float:
        """The longest expected time that a plan may have; the rest is a margin."""
        return self.ratio * USED / TimeBudget.MARGIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """All that is drawn.

    Attributes:
        recipe: with the members that can run.
        absent: optional members that are missing.
        song_s: length of the song in seconds.
        points: choices that take time, in the planner's order.
        limits: the contest's, and that of the environment.
    """

    recipe: Recipe
    absent: tuple[str, ...]
    song_s: float
    points: tuple[Point, ...]
    limits: tuple[Limit, ...]


def gathered(demixer: Demixer, form: SongFormat, limits: dict[str, float]) -> Picture:
    """Collect what the planner compares, and what it chooses.

    Args:
        demixer: knows the recipe and the costs.
        form: of the song.
        limits: in seconds of computing per second of audio, by name.
    """
    recipe = demixer.recipe
    every = [
        Point(
            choice=one.choice,
            members=in_words(recipe, one.choice),
            ratio=one.seconds / form.seconds,
            score_db=one.score_db,
        )
        for one in demixer.compared(form)
    ]
    points = tuple(one for one in every if one.ratio > 0)
    found = []
    for name, ratio in limits.items():
        plan = demixer.plan(form, budget_s=USED * ratio * form.seconds)
        choice = tuple(
            setting if index in plan.planned else None
            for index, setting in enumerate(plan.settings)
        )
        chosen = next((one for one in points if one.choice == choice), None)
        found.append(Limit(name=name, ratio=ratio, chosen=chosen))
    return Picture(
        recipe=recipe,
        absent=demixer.absent,
        song_s=form.seconds,
        points=points,
        limits=tuple(found),
    )


def in_words(recipe: Recipe, choice: Choice) -> str:
    """The members of a choice, such as ``spleeter x 2, net``."""
    return ", ".join(
        member.name + setting.in_words
        for member, setting in zip(recipe.members, choice, strict=True)
        if setting
    )


def front(points: Iterable[Point]) -> list[Point]:
    """The Pareto front: no other point is as fast and better, or as good and faster."""
    found: list[Point] = []
    for one in sorted(points, key=lambda one: (one.ratio, -one.score_db)):
        if not found or one.score_db > found[-1].score_db + ALIKE_DB:
            found.append(one)
    return found
