"""The picture of a plan shows what the planner compares and chooses."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.text import Annotation

from demixing.audio import SongFormat
from demixing.cli import plan as command
from demixing.cli.main import main
from demixing.engine.demixer import Demixer
from demixing.errors import ConfigError
from demixing.plots import canvas, plan, plan_figure
from demixing.plots.plan import Limit, Picture, Point, front
from demixing.recipes import reading, tracks
from demixing.recipes.expected_score import score_db
from demixing.recipes.recipe import Recipe
from demixing.schedule import planner
from demixing.schedule.budget import USED, TimeBudget
from demixing.schedule.costs import Cost
from tests.missing import not_installed
from tests.test_planner import chunks, costs, table

FORM = SongFormat(sample_rate_hz=44_100, channels=2, frames=4_410_000)
TWO = [{"passes": 1}, {"passes": 2, "gain_db": 0.3}]


def demixer(recipe: Recipe, known: Sequence[Cost | None]) -> Demixer:
    """What a picture needs of a demixer, with costs of our own and no members."""
    return cast(
        Demixer,
        SimpleNamespace(
            recipe=recipe,
            absent=(),
            compared=lambda form: planner.compared(recipe, known, chunks),
            plan=lambda form, budget_s: planner.plan(recipe, known, chunks, budget_s=budget_s),
        ),
    )


def picture(limits: dict[str, float] | None = None, **change: Any) -> Picture:
    recipe = table(b={"settings": TWO}, **change)
    return plan.gathered(demixer(recipe, costs(1, 2, 3, 0.05)), FORM, limits or {"limit": 0.6})


def test_the_points_are_all_choices_of_the_planner() -> None:
    shown = picture()
    recipe = shown.recipe

    every = list(itertools.product(*([None, *member.settings] for member in recipe.members)))

    assert {one.choice for one in shown.points} == {one for one in every if any(one)}
    for one in shown.points:
        assert one.score_db == score_db(recipe, one.choice)
        seconds = [10 * cost * setting.passes for cost, setting in zip(
            (1, 2, 3, 0.05), one.choice, strict=True) if setting]  # fmt: skip
        assert one.ratio == pytest.approx(sum(seconds) / 100)
    words = {one.members for one in shown.points}
    assert {"a", "a, b x 2, c, e"} <= words


@pytest.mark.parametrize("ratio", [0.001, 0.02, 0.1, 0.3, 0.6, 1, 2, math.inf])
def test_the_chosen_point_is_the_best_within_the_planned_time(ratio: float) -> None:
    shown = picture({"limit": ratio})
    (limit,) = shown.limits

    fitting = [one for one in shown.points if one.ratio <= limit.planned]

    assert limit.planned == pytest.approx(ratio * USED / TimeBudget.MARGIN)
    if not fitting:
        assert limit.chosen is None
        return
    assert limit.chosen in front(shown.points)
    assert limit.chosen is not None
    assert limit.chosen.score_db == pytest.approx(max(one.score_db for one in fitting), abs=1e-6)


def test_with_too_many_choices_those_that_were_tried_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planner, "MOST", 3)

    shown = picture({"limit": math.inf})

    assert shown.limits[0].chosen in shown.points
    assert len(shown.points) < 23


def test_members_that_cannot_run_are_in_no_choice() -> None:
    shown = plan.gathered(demixer(table(), [None, *costs(2, 3, 1)]), FORM, {"limit": 1})

    assert shown.points
    assert all(one.choice[0] is None for one in shown.points)


points = st.lists(
    st.tuples(st.floats(0.01, 10), st.floats(-5, 12)).map(
        lambda pair: Point(choice=(), members="m", ratio=pair[0], score_db=pair[1])
    ),
    max_size=30,
)


@given(points)
def test_the_front_is_a_pareto_front(found: list[Point]) -> None:
    best = front(found)

    assert [one.ratio for one in best] == sorted({one.ratio for one in best})
    for one in best:
        assert not any(
            (other.ratio <= one.ratio and other.score_db > one.score_db + plan.ALIKE_DB)
            or (other.ratio < one.ratio and other.score_db >= one.score_db)
            for other in found
        )
    for one in found:  # some point of the front is as fast, and as good
        assert any(
            other.ratio <= one.ratio and other.score_db >= one.score_db - plan.ALIKE_DB
            for other in best
        )


@given(points.filter(bool))
def test_numbers_of_the_front_keep_their_distance(found: list[Point]) -> None:
    limits = (Limit(name="limit", ratio=1.0, chosen=front(found)[-1]),)
    shown = Picture(recipe=table(), absent=(), song_s=1, points=tuple(found), limits=limits)

    rows = plan_figure._numbered(front(found), shown)

    assert 1 <= len(rows) <= plan_figure.MOST_ROWS
    assert front(found)[-1] in rows
    assert [one for one in front(found) if one in rows] == rows


def test_no_text_of_the_figure_overlaps_another() -> None:
    with canvas.style():
        figure = plan_figure.drawn(picture({"the limit": 0.6, "another": 0.2}))
        figure.draw_without_rendering()
        (axes,) = figure.axes
        marks = [one for one in axes.get_children() if isinstance(one, Annotation)]
        boxes = [one.get_window_extent() for one in [*marks, *figure.texts] if one.get_text()]
        whole = figure.bbox

    assert len(marks) > 5
    for one, other in itertools.combinations(boxes, 2):
        assert not one.shrunk(0.9, 0.9).overlaps(other.shrunk(0.9, 0.9))
    assert all(whole.x0 <= box.x0 and box.x1 <= whole.x1 for box in boxes)


def test_the_figure_has_the_points_and_the_limit() -> None:
    shown = picture()

    with canvas.style():
        axes: Axes = plan_figure.drawn(shown).axes[0]

    offsets = cast(Any, axes.collections[0]).get_offsets()
    assert sorted(map(tuple, offsets.tolist())) == sorted(
        (one.ratio, one.score_db) for one in shown.points
    )
    lines = [list(cast(Any, line.get_xdata())) for line in axes.lines]
    assert [0.6, 0.6] in lines
    assert "seconds of computing per second of audio" in axes.get_xlabel()
    assert "SDR in dB" in axes.get_ylabel()


def test_limits_are_those_of_the_track_and_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mdx = tracks.by_name("mdx")
    assert command.limits(mdx) == {"the contest's limit (mdx)": 1.57}
    assert command.limits(tracks.of_stems(("vocals",))) == {"no limit": math.inf}

    monkeypatch.setenv("DEMIX_TIME_LIMIT", "0.5")
    assert command.limits(mdx) == {"the contest's limit (mdx)": 1.57, "DEMIX_TIME_LIMIT": 0.5}

    monkeypatch.setenv("DEMIX_TIME_LIMIT", "none")
    assert command.limits(mdx)["DEMIX_TIME_LIMIT (none)"] == math.inf

    monkeypatch.setenv("DEMIX_TIME_LIMIT", "-1")
    with pytest.raises(ConfigError, match="positive"):
        command.limits(mdx)


@pytest.mark.parametrize("suffix", canvas.SUFFIXES)
def test_equal_pictures_are_equal_files(tmp_path: Path, suffix: str) -> None:
    files = [tmp_path / f"{name}{suffix}" for name in "ab"]

    for file in files:
        plan_figure.write(picture(), file)

    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].stat().st_size > 1000
    assert sorted(tmp_path.iterdir()) == files


def test_the_command_writes_a_picture_and_its_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plan", "--recipe", "cdx_equal_shares", "--seconds", "20"]
    assert main([*words, "--plot", str(tmp_path / "plan.PNG")]) == 0
    shown = capsys.readouterr().out

    assert main(words) == 0

    assert capsys.readouterr().out == shown
    assert (tmp_path / "plan.PNG").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["plan.jpg", "plan", "none/plan.png"])
def test_a_picture_that_cannot_be_written_is_refused_first(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demixing.engine.demixer.Demixer.__init__", None)  # nothing is built

    assert main(["plan", "--plot", str(tmp_path / name)]) == 2

    said = capsys.readouterr().err
    assert ("create it" if name.startswith("none") else ".png, .svg or .pdf") in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_missing_package_gets_its_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    not_installed(monkeypatch, "matplotlib")

    assert main(["plan", "--plot", str(tmp_path / "plan.png")]) == 2

    said = capsys.readouterr().err
    assert "expected the package matplotlib, which is not installed; run: pip install" in said


def test_a_picture_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    (tmp_path / "plan.png").write_text("before")

    with pytest.raises(Exception, match=r"cannot write .*No space left"):
        plan_figure.write(picture(), tmp_path / "plan.png")

    assert (tmp_path / "plan.png").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_recipe_without_scores_says_so() -> None:
    recipe = reading.load("cdx_equal_shares")
    shown = Picture(recipe=recipe, absent=(), song_s=1, points=(), limits=())

    assert any("No measured scores" in note for note in plan_figure._notes(shown, 0))
    fitted = Picture(recipe=reading.load("mdx_default"), absent=(), song_s=1, points=(), limits=())
    assert any("23 songs by eight artists" in note for note in plan_figure._notes(fitted, 0))
