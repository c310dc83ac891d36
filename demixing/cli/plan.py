"""What the planner makes of how much time: the table behind ``python -m my_submission plan``."""

from demixing import threads
from demixing.audio import SongFormat
from demixing.engine.demixer import Demixer
from demixing.recipes.recipe import Recipe
from demixing.schedule.budget import USED
from demixing.schedule.costs import Costs

LIMITS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds of computing per second of audio, besides the track's own limit."""

RATE_HZ = 44_100


def table(recipe: Recipe, song_s: float) -> list[str]:
    """Plan for a stereo song with several limits.

    Args:
        recipe: whose members are measured on this machine, if they were not before.
        song_s: length of the song.

    Returns:
        Lines for people: costs of the members, and of optional ones whether they are ready; then a
        line for each limit that changes the plan.

    Raises:
        CheckpointError: a member's weights are missing or damaged.
    """
    threads.use()
    demixer = Demixer(recipe, costs=Costs.at_home())
    form = SongFormat(sample_rate_hz=RATE_HZ, channels=2, frames=round(song_s * RATE_HZ))
    lines = [f"{'member':<16}{'s per s of audio':>18}{'memory in MB':>14}{'batch':>7}"]
    at_work = demixer.recipe.members
    places = {member.name: index for index, member in enumerate(at_work)}
    for member in recipe.members:
        if member.name in demixer.absent:
            lines.append(f"{member.name:<16}{'-':>18}{'-':>14}{'-':>7}  optional, missing")
            continue
        index = places[member.name]
        cost = demixer.costs[index]
        chunks = demixer.workload(form).chunks(index, member.settings[0])
        ratio = cost.chunk_s * chunks / song_s
        lines.append(
            f"{member.name:<16}{ratio:>18.3f}{cost.memory_bytes / 1e6:>14.0f}{cost.batch:>7}"
            + ("  optional, ready" if member.optional else "")
        )
    own = recipe.track.time_limit
    lines += ["", f"{'limit':>6}{'used':>8}  members, first those that pay most"]
    before = ""
    for limit in sorted({*LIMITS, own}):
        plan = demixer.plan(form, budget_s=USED * limit * song_s)
        names = [
            at_work[index].name
            + (f" x {plan.settings[index].passes}" if plan.settings[index].passes > 1 else "")
            for index in plan.priority
            if index in plan.planned
        ]
        text = ", ".join(names) or "none: shares of the mixture"
        if text != before or limit == own:
            mark = f"  (the limit of {recipe.track.name})" if limit == own else ""
            lines.append(f"{limit:>6.2f}{plan.expected_s / song_s:>8.3f}  {text}{mark}")
        before = text
    return lines
