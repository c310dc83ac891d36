"""Draws time against quality of all choices of a recipe; see :mod:`demixing.plots.plan`."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demixing.plots import canvas
from demixing.plots.plan import Picture, Point, front
from demixing.recipes import expected_score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from demixing.recipes.recipe import Recipe

MOST_ROWS = 16
"""Points of the front that are numbered and listed."""

MOST_VECTORS = 3000
"""More points are drawn as pixels in SVG and PDF, or the file would have megabytes."""

CLOSE = 0.032, 0.05
"""Points nearer than this, as parts of the axes' width and height, share a number."""


def write(picture: Picture, path: Path) -> None:
    """Draw a picture and write it.

    Raises:
        OutputError: it cannot be written.
    """
    with canvas.style():
        canvas.save(drawn(picture), path)


def drawn(picture: Picture) -> Figure:
    """Draw a picture; call it within :func:`demixing.plots.canvas.style`."""
    best = front(picture.points)
    rows = _numbered(best, picture)
    notes = list(_notes(picture, len(best) - len(rows)))
    table_in = 0.24 * (len(rows) + 1) + 0.2 * len(notes) + 0.35
    height_in = 5.5 + table_in
    figure = canvas.figure(height_in)
    bottom = (table_in + 0.65) / height_in
    axes = figure.add_axes((0.075, bottom, 0.9, 1 - bottom - 1.2 / height_in))
    _title(figure, picture, height_in)
    _axes(axes, picture)
    _points(axes, picture, best)
    _limits(axes, picture)
    _numbers(axes, rows, {limit.chosen for limit in picture.limits})
    _table(figure, rows, notes, picture, table_in / height_in)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1), ncols=2, columnspacing=2, handletextpad=0.5
    )
    return figure


def _title(figure: Figure, picture: Picture, height_in: float) -> None:
    name = canvas.shortened(picture.recipe.name, 40)
    without = f", without {', '.join(picture.absent)}" if picture.absent else ""
    figure.text(
        0.015,
        1 - 0.14 / height_in,
        f"Time against quality: recipe {name}{without}, on this machine",
        size=13,
        weight="bold",
        va="top",
    )
    figure.text(
        0.015,
        1 - 0.42 / height_in,
        "Each point is a choice of members and passes that the planner compares for a stereo song "
        f"of {picture.song_s:g} s",
        color="#404040",
        va="top",
    )


def _axes(axes: Axes, picture: Picture) -> None:
    """Scales, labels and ranges."""
    from matplotlib.ticker import FuncFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("expected time, seconds of computing per second of audio (logarithmic)")
    kind = "expected SDR" if _measured(picture.recipe) else "assumed score"
    axes.set_ylabel(f"{kind} in dB, mean of the stems")
    low, high = _range([math.log(one) for one in _ratios(picture)])
    axes.set_xlim(math.exp(low), math.exp(high))
    axes.set_ylim(*_range([one.score_db for one in picture.points]))


def _ratios(picture: Picture) -> list[float]:
    """All times in the picture: of points, and of limits."""
    limits = [one.ratio for one in picture.limits if math.isfinite(one.ratio)]
    return [one.ratio for one in picture.points] + limits


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Range of an axis, with room around its values; any range if there are none."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.08 * max(high - low, 0.1)
    return low - room, high + room


def _points(axes: Axes, picture: Picture, best: Sequence[Point]) -> None:
    """All choices, and the front as steps: what the best is for a given time."""
    axes.scatter(
        [one.ratio for one in picture.points],
        [one.score_db for one in picture.points],
        s=13,
        color="#A9A9A9",
        linewidths=0,
        alpha=0.75,
        rasterized=len(picture.points) > MOST_VECTORS,
        label=f"all choices ({len(picture.points):,})",
    )
    axes.plot(
        [one.ratio for one in best],
        [one.score_db for one in best],
        color=canvas.BLUE,
        drawstyle="steps-post",
        marker="o",
        markersize=5,
        label=f"Pareto front: the best for a given time ({len(best)})",
    )


def _limits(axes: Axes, picture: Picture) -> None:
    """Lines for the limits, where plans end, and rings around what is chosen."""
    looks = (canvas.RED, 13), (canvas.GREEN, 18)  # two rings around one point are both visible
    for limit, (colour, size) in zip(picture.limits, looks, strict=False):
        if math.isfinite(limit.ratio):
            margin = f"planned up to {limit.planned:.3g}, the rest is a margin"
            _line(axes, limit.ratio, f"{limit.name}: {limit.ratio:g}", colour, "-")
            _line(axes, limit.planned, margin, colour, (0, (4, 3)))
        if limit.chosen:
            axes.plot(
                limit.chosen.ratio,
                limit.chosen.score_db,
                color=colour,
                linestyle="none",
                marker="o",
                markersize=size,
                markerfacecolor="none",
                markeredgewidth=2,
                label=f"chosen for {limit.name}",
            )


def _line(axes: Axes, ratio: float, text: str, colour: str, dashes: Any) -> None:
    """A vertical line with its meaning beside it."""
    axes.axvline(ratio, color=colour, linestyle=dashes, linewidth=1.3)
    axes.annotate(
        text,
        (ratio, 0.02),
        xycoords=("data", "axes fraction"),
        xytext=(-3, 0),
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="bottom",
        size=9,
        color=colour,
    )


def _numbered(best: Sequence[Point], picture: Picture) -> list[Point]:
    """Points of the front that get a number: those that are chosen, then those with room."""
    if not best:
        return []
    left, right = _range([math.log(one) for one in _ratios(picture)])
    low, high = _range([one.score_db for one in picture.points])

    def close(one: Point, other: Point) -> bool:
        across = abs(math.log(one.ratio / other.ratio)) / (right - left)
        return across < CLOSE[0] and abs(one.score_db - other.score_db) / (high - low) < CLOSE[1]

    chosen = [limit.chosen for limit in picture.limits if limit.chosen in best]
    kept: list[Point] = []
    for one in dict.fromkeys([*(one for one in chosen if one), best[0], *reversed(best)]):
        if len(kept) < MOST_ROWS and not any(close(one, other) for other in kept):
            kept.append(one)
    return [one for one in best if one in kept]


def _numbers(axes: Axes, rows: Sequence[Point], ringed: Collection[Point | None]) -> None:
    """Numbers beside the points, where the steps leave room: above and to the left."""
    for number, point in enumerate(rows, 1):
        axes.annotate(
            str(number),
            (point.ratio, point.score_db),
            xytext=(-6, 7) if point in ringed else (-3, 5),
            textcoords="offset points",
            ha="right",
            size=9,
            weight="bold",
            color=canvas.BLUE,
        )


def _table(
    figure: Figure, rows: Sequence[Point], notes: Sequence[str], picture: Picture, part: float
) -> None:
    """The numbered points in words, and the notes, in the lower part of a figure."""
    chosen = {limit.chosen for limit in picture.limits}
    lines = len(rows) + 1
    step = part * 0.24 / (0.24 * lines + 0.2 * len(notes) + 0.35)
    at = part - step * 0.2
    columns = ((0.06, "right"), (0.155, "right"), (0.235, "right"), (0.255, "left"))
    table = [("", "s per s", "dB", "members, and passes if more than one")]
    table += [
        (str(number), f"{one.ratio:.3f}", f"{one.score_db:.2f}", canvas.shortened(one.members, 110))
        for number, one in enumerate(rows, 1)
    ]
    for number, cells in enumerate(table):
        marked = number > 0 and rows[number - 1] in chosen
        for (x, side), text in zip(columns, cells, strict=True):
            figure.text(
                x,
                at - number * step,
                f"{text}  (chosen)" if marked and x == columns[-1][0] else text,
                ha=side,
                va="top",
                size=9,
                color=canvas.RED if marked else "#404040" if number == 0 else "black",
                weight="bold" if x == columns[0][0] else "normal",
            )
    for number, note in enumerate(notes):
        figure.text(
            0.015,
            at - lines * step - (number + 0.5) * step * 0.2 / 0.24,
            note,
            va="top",
            size=8.5,
            color="#404040",
        )


def _notes(picture: Picture, unnumbered: int) -> Iterable[str]:
    """What the axes mean, in lines below the table."""
    recipe = picture.recipe
    stems = _listed([stem for stem in recipe.track.stems if stem != recipe.residual])
    if _measured(recipe):
        songs = recipe.fitted_on or "the validation songs of its fit, which its file may name"
        yield f"Expected SDR: mean of {stems}, as the recipe's fit measured them on"
        yield f"{canvas.shortened(songs, 90)}. A stem without output counts as 0 dB."
    else:
        yield (
            f"No measured scores: of {stems}, each with an output counts as "
            f"{expected_score.UNKNOWN_DB:g} dB, each member as {expected_score.SLIGHT_DB:g} more."
        )
        yield "`demixing fit` measures them."
    yield "Time: chunks of the song times each member's cost, measured once on this machine."
    if unnumbered:
        plural = "s have" if unnumbered > 1 else " has"
        yield f"{unnumbered} point{plural} no number, for want of room."


def _measured(recipe: Recipe) -> bool:
    """Whether a recipe has measured scores at all."""
    return any(blend.sdr_db is not None for blend in recipe.blends)


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence; many are only counted.

    >>> _listed(["bass", "drums", "vocals"])
    'bass, drums and vocals'
    """
    if len(names) > 5:
        return f"{len(names)} stems"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
