"""The plan is the best choice that fits; no member is run."""

import math
from typing import Any

import pytest

from demixing.chunks import tta
from demixing.ensemble.setting import Setting
from demixing.recipes import reading
from demixing.recipes.recipe import Recipe
from demixing.schedule import planner
from demixing.schedule.budget import TimeBudget
from demixing.schedule.costs import Cost
from demixing.separator import Chunking, SongEnd

GIVES = {"outputs": {"dialog": ["vocals"]}, "separator": "spleeter"}
SCORES_DB = {"a": 5.0, "b": 6.0, "c": 4.0, "ab": 7.0, "ac": 8.0, "bc": 6.5, "abc": 8.2}


def table(**change: Any) -> Recipe:
    """Three members for dialog, whose subsets score as above, and one for effects."""
    blends = [
        {"stem": "dialog", "weights": dict.fromkeys(names, 0.3), "sdr_db": score}
        for names, score in SCORES_DB.items()
    ]
    effect = {
        "name": "e",
        "separator": "hpss",
        "subtract": ["dialog"],
        "outputs": {"effect": ["low"]},
    }
    members = [{"name": name, **GIVES, **change.get(name, {})} for name in "abc"]
    return reading.parse(
        "test",
        {
            "track": "cdx",
            "summary": "-",
            "residual": "music",
            "members": [*members, effect],
            "blends": blends,
        },
    )


def planned(chosen: Recipe, costs: list[Cost | None], budget_s: float, **more: Any) -> str:
    plan = planner.plan(chosen, costs, chunks, budget_s=TimeBudget.MARGIN * budget_s, **more)
    return "".join(sorted(chosen.members[index].name for index in plan.planned))


def chunks(index: int, setting: Setting) -> int:
    return 10 * setting.passes


def costs(*chunk_s: float) -> list[Cost | None]:
    return [Cost(chunk_s=one) for one in chunk_s]


@pytest.mark.parametrize(
    ("budget_s", "expected"),
    [
        (100, "abce"),
        (61, "abce"),
        (51, "ace"),
        (41, "ace"),
        (31, "abe"),
        (21, "be"),
        (20, "ae"),
        (9, "e"),
        (0, ""),
    ],
)
def test_the_best_choice_that_fits_is_planned(budget_s: float, expected: str) -> None:
    # a, b and c cost 10, 20 and 30 s; the member for effects costs 0.5 s.
    assert planned(table(), costs(1, 2, 3, 0.05), budget_s) == expected


def test_with_unknown_costs_all_are_planned() -> None:
    assert planned(table(), [Cost()] * 4, 1e-6) == "abce"


def test_members_that_cannot_work_or_need_too_much_memory_are_not_planned() -> None:
    known = [None, Cost(chunk_s=1, memory_bytes=2_000), Cost(chunk_s=1), Cost(chunk_s=1)]

    assert planned(table(), known, 100, memory_bytes=1_000) == "ce"


def test_members_are_ordered_by_gain_per_second_after_those_they_subtract() -> None:
    chosen = table()

    plan = planner.plan(chosen, costs(1, 2, 2.9, 0.001), chunks, budget_s=1000)

    # The member for effects is the cheapest, but it needs the dialog that it subtracts.
    assert [chosen.members[index].name for index in plan.priority] == ["a", "c", "b", "e"]


def test_members_that_are_not_planned_come_last() -> None:
    chosen = table()

    plan = planner.plan(chosen, costs(1, 2, 3, 0.05), chunks, budget_s=TimeBudget.MARGIN * 31)

    assert [chosen.members[index].name for index in plan.priority] == ["a", "b", "e", "c"]
    assert plan.expected_s == pytest.approx(30.5)


def test_remaining_time_is_spent_on_augmentation() -> None:
    settings = [{"passes": 1}, {"passes": 2, "gain_db": 0.1}, {"passes": 4, "gain_db": 0.15}]
    chosen = table(a={"settings": settings})
    known = costs(1, 2, 3, 0.05)

    def passes(budget_s: float) -> int:
        plan = planner.plan(chosen, known, chunks, budget_s=TimeBudget.MARGIN * budget_s)
        return plan.settings[0].passes

    # Another member gains more than another pass.
    assert [passes(60.5), passes(70.5), passes(90.5)] == [1, 2, 4]


def test_a_smaller_overlap_is_chosen_before_a_member_is_dropped() -> None:
    settings = [{"passes": 1}, {"overlap": 0.1, "gain_db": -0.02}, {"overlap": 0.0, "gain_db": -2}]
    chosen = table(b={"settings": settings})

    def planned_at(budget_s: float) -> tuple[str, float | None]:
        plan = planner.plan(
            chosen, costs(1, 2, 3, 0.05), by_overlap, budget_s=TimeBudget.MARGIN * budget_s
        )
        names = "".join(sorted(chosen.members[index].name for index in plan.planned))
        return names, plan.settings[1].overlap

    def by_overlap(index: int, setting: Setting) -> float:
        own = 0.25 if setting.overlap is None else setting.overlap
        return 10 * 0.75 / (1 - own)

    # All cost 60.5 s; b costs 20 s, 16.7 s with an overlap of 0.1, and 15 s without one. Without
    # b, the score falls by 0.2 dB, which is less than the loss of its last setting.
    assert planned_at(60.5) == ("abce", None)
    assert planned_at(60.4) == ("abce", 0.1)
    assert planned_at(57.2) == ("abce", 0.1)
    assert planned_at(57.0) == ("ace", None)


@pytest.mark.parametrize(
    ("chunks_left", "overlap"), [(31, None), (30, 0.1), (26, 0.1), (25, 0.02), (23, None)]
)
def test_demucs_runs_with_less_overlap_rather_than_not_at_all(
    chunks_left: int, overlap: float | None
) -> None:
    demucs = reading.load("mdx_demucs")
    own = Chunking(chunk=343_980, hop=257_985, end=SongEnd.EVERY_HOP_CENTRED)

    def of_three_minutes(index: int, setting: Setting) -> int:
        cut = own if setting.overlap is None else own.overlapping(setting.overlap)
        return tta.count(cut, setting, 180 * 44_100)

    plan = planner.plan(
        demucs, costs(1), of_three_minutes, budget_s=TimeBudget.MARGIN * chunks_left
    )

    assert plan.planned == ({0} if chunks_left > 23 else set())
    assert plan.settings[0].overlap == overlap


def test_with_many_members_the_plan_grows_member_by_member() -> None:
    names = [f"m{number}" for number in range(18)]
    members = [{"name": name, **GIVES} for name in names]
    blends = [{"stem": "dialog", "weights": {name: 1.0}, "sdr_db": 5.0} for name in names[:-1]]
    blends.append({"stem": "dialog", "weights": {names[-1]: 1.0}, "sdr_db": 9.0})
    effect = {"separator": "hpss", "outputs": {"effect": ["low"]}}
    chosen = reading.parse(
        "many",
        {
            "track": "cdx",
            "summary": "-",
            "residual": "music",
            "members": [*members, effect],
            "blends": blends,
        },
    )

    plan = planner.plan(chosen, costs(*[1.0] * 19), chunks, budget_s=TimeBudget.MARGIN * 20)

    assert plan.planned == {17, 18}


@pytest.mark.parametrize(("best", "passes"), [(False, 1), (True, 3)])
def test_without_a_deadline_all_work(best: bool, passes: int) -> None:
    settings = [{"passes": 1}, {"passes": 3, "gain_db": 0.1}, {"passes": 2, "gain_db": 0.05}]

    plan = planner.without_limits(table(b={"settings": settings}), best=best)

    assert plan.priority == (0, 1, 2, 3)
    assert plan.settings[1].passes == passes


def test_unknown_costs_are_assumed_to_be_zero() -> None:
    plan = planner.plan(table(), [Cost(chunk_s=math.nan)] * 4, chunks, budget_s=10)

    assert plan.expected_s == 0
