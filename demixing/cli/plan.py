"""``plan``: the costs of a recipe's members on this machine, and which fit each time limit."""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import arguments, note, say_json
from demixing.engine import optional
from demixing.errors import ConfigError
from demixing.machine import threads

if TYPE_CHECKING:
    from demixing.audio import SongFormat
    from demixing.cli.console import Subparsers
    from demixing.engine.demixer import Demixer
    from demixing.recipes.recipe import Recipe
    from demixing.recipes.tracks import Track

LIMITS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Limits besides the track's, in seconds of computation per second of audio."""

RATE_HZ = 44_100
SHORTEST_S, LONGEST_S = 1, 100_000
READY, MISSING = "optional, ready", "optional, missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberCost:
    """The cost of a member.

    Attributes:
        member: its name.
        state: :data:`READY` or :data:`MISSING` if it is optional; otherwise empty.
        ratio: seconds of computation per second of audio; None if it is missing, like the next two.
        memory_mb: working memory.
        batch: chunks at a time.
    """

    member: str
    state: str
    ratio: float | None = None
    memory_mb: float | None = None
    batch: int | None = None

    def __str__(self) -> str:
        if self.ratio is None:
            return f"{self.member:<16}{'-':>18}{'-':>14}{'-':>7}  {self.state}"
        row = f"{self.member:<16}{self.ratio:>18.3f}{self.memory_mb:>14.0f}{self.batch:>7}"
        return f"{row}  {self.state}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanForLimit:
    """The plan for a limit.

    Attributes:
        limit: seconds of computation per second of audio.
        used: the expected part of it that is needed.
        members: members in use, most useful first, with the number of passes if above 1.
        track: track with this limit; empty if there is none.
    """

    limit: float
    used: float
    members: tuple[str, ...]
    track: str

    def __str__(self) -> str:
        text = ", ".join(self.members) or "none: shares of the mixture"
        mark = f"  (the limit of {self.track})" if self.track else ""
        return f"{self.limit:>6.2f}{self.used:>8.3f}  {text}{mark}"


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "plan",
        description="Show the costs of a recipe's members on this machine, measured once, and "
        "which of them are used for a stereo song within several time limits.",
    )
    parser.add_argument(
        "--seconds", type=float, default=240.0, metavar="S", help="length of the song"
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="also draw time against quality of all choices of members; png, svg or pdf "
        "(default: no picture)",
    )
    arguments.add_recipe(parser)
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print costs and plans."""
    if not SHORTEST_S <= options.seconds <= LONGEST_S:
        raise ConfigError(
            f"expected --seconds from {SHORTEST_S} to {LONGEST_S}, got {options.seconds}"
        )
    chosen = arguments.chosen_recipe(options)
    if options.plot:
        from demixing.plots import canvas

        canvas.check_figure(options.plot)
    note(optional.advice(chosen), options)
    # Late import: torch takes seconds, and mistakes should be reported first.
    from demixing.audio import SongFormat
    from demixing.engine.demixer import Demixer
    from demixing.schedule.costs import Costs

    threads.use()
    demixer = Demixer(chosen, costs=Costs.at_home())
    frames = round(options.seconds * RATE_HZ)
    form = SongFormat(sample_rate_hz=RATE_HZ, channels=2, frames=frames)
    if options.plot:
        from demixing.plots import plan, plan_figure

        picture = plan.gathered(demixer, form, limits(chosen.track))
        plan_figure.write(picture, options.plot)
        note(f"the picture: {options.plot}", options)
    members, plans = list(costs(chosen, demixer, form)), list(changes(demixer, form))
    if options.json:
        table = {
            "recipe": chosen.name,
            "members": [dataclasses.asdict(one) for one in members],
            "plans": [dataclasses.asdict(one) for one in plans],
        }
        say_json(table)
    else:
        print("\n".join(lines(members, plans)))
    return 0


def limits(track: Track) -> dict[str, float]:
    """Time limits of a picture by name: the track's, and that of the environment.

    Raises:
        ConfigError: the limit in the environment is not a positive number.
    """
    from demixing.schedule.budget import TIME_VARIABLE, USED, song_budget

    named = f"the contest's limit ({track.name})" if track.time_limit < math.inf else "no limit"
    found = {named: track.time_limit}
    if os.environ.get(TIME_VARIABLE):
        ratio = song_budget(track, 1) / USED
        found[TIME_VARIABLE if ratio < math.inf else f"{TIME_VARIABLE} (none)"] = ratio
    return found


def costs(recipe: Recipe, demixer: Demixer, form: SongFormat) -> Iterator[MemberCost]:
    """Yield the cost of each member of a recipe.

    Args:
        recipe: with members that may be missing.
        demixer: knows the costs of the others.
        form: of the song.
    """
    workload = demixer.workload(form)
    places = {member.name: index for index, member in enumerate(demixer.recipe.members)}
    for member in recipe.members:
        if member.name in demixer.absent:
            yield MemberCost(member=member.name, state=MISSING)
            continue
        index = places[member.name]
        cost = demixer.costs[index]
        chunks = workload.chunks(index, member.settings[0])
        yield MemberCost(
            member=member.name,
            state=READY if member.optional else "",
            ratio=cost.chunk_s * chunks / form.seconds,
            memory_mb=cost.memory_bytes / 1e6,
            batch=cost.batch,
        )


def changes(demixer: Demixer, form: SongFormat) -> Iterator[PlanForLimit]:
    """Yield the plan for each limit that changes it, and for the track's limit."""
    from demixing.schedule.budget import USED

    track = demixer.recipe.track
    before: tuple[str, ...] | None = None
    for limit in sorted({*LIMITS, track.time_limit} - {math.inf}):
        plan = demixer.plan(form, budget_s=USED * limit * form.seconds)
        members = tuple(
            demixer.recipe.members[index].name + plan.settings[index].in_words
            for index in plan.priority
            if index in plan.planned
        )
        if members != before or limit == track.time_limit:
            yield PlanForLimit(
                limit=limit,
                used=plan.expected_s / form.seconds,
                members=members,
                track=track.name if limit == track.time_limit else "",
            )
        before = members


def lines(members: Sequence[MemberCost], plans: Sequence[PlanForLimit]) -> Iterator[str]:
    """Yield two printable tables."""
    yield f"{'member':<16}{'s per s of audio':>18}{'memory in MB':>14}{'batch':>7}"
    yield from map(str, members)
    yield ""
    yield f"{'limit':>6}{'used':>8}  members, most useful first"
    yield from map(str, plans)
