"""Draws training curves; see :mod:`demixing.plots.training`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from demixing.plots import canvas
from demixing.plots.training import MEAN, Curve, Curves, smoothed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def write(runs: Sequence[Curves], path: Path) -> None:
    """Draw the curves of one or several runs in one figure and write it.

    Raises:
        OutputError: it cannot be written.
    """
    with canvas.style():
        canvas.save(drawn(runs), path)


def drawn(runs: Sequence[Curves]) -> Figure:
    """Draw curves; call it within :func:`demixing.plots.canvas.style`.

    Loss, learning rate and waiting are on the left, the scores on the right: a row per stem.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.scores))
    waiting = any(run.waiting for run in runs)
    tested = any(run.scores[MEAN] for run in runs)
    height_in = 7.5
    figure = canvas.figure(height_in)
    _title(figure, runs, height_in)
    wide = 0.425 if tested else 0.9
    top = 1 - (1.25 if len(runs) > 1 else 1.0) / height_in
    left = figure.add_gridspec(
        3 if waiting else 2,
        1,
        left=0.075,
        right=0.075 + wide,
        bottom=0.075,
        top=top,
        height_ratios=(2.4, 1, 1) if waiting else (2, 1),
        hspace=0.32,
    )
    panels: list[Axes] = [figure.add_subplot(left[0])]
    panels += [
        figure.add_subplot(left[row], sharex=panels[0]) for row in range(1, 3 if waiting else 2)
    ]
    _loss(panels[0], runs)
    _rate(panels[1], runs)
    if waiting:
        _waiting(panels[2], runs)
    if tested:
        right = figure.add_gridspec(
            len(names), 1, left=0.585, right=0.97, bottom=0.075, top=top, hspace=0.32
        )
        scores = [figure.add_subplot(right[row], sharex=panels[0]) for row in range(len(names))]
        for axes, name in zip(scores, names, strict=True):
            _scores(axes, runs, name)
        panels += scores
        figure.align_ylabels(scores)
    _steps(panels, [panels[2 if waiting else 1], *([panels[-1]] if tested else [])])
    if len(runs) > 1:
        _legend(figure, runs, height_in)
    return figure


def _title(figure: Figure, runs: Sequence[Curves], height_in: float) -> None:
    of = canvas.shortened(runs[0].name, 40) if len(runs) == 1 else f"{len(runs)} runs"
    steps = max(run.loss[-1][0] for run in runs)
    figure.text(
        0.015,
        1 - 0.14 / height_in,
        f"Training of {of}, up to step {steps:,}",
        size=13,
        weight="bold",
        va="top",
    )
    tested = any(run.scores[MEAN] for run in runs)
    text = (
        "SDR of whole validation songs, by the average of the weights"
        if tested
        else ("no validation so far")
    )
    figure.text(
        0.015, 1 - 0.42 / height_in, f"Loss of each step; {text}", color="#404040", va="top"
    )


def _legend(figure: Figure, runs: Sequence[Curves], height_in: float) -> None:
    """The runs and their colours, below the title."""
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=_colour(index), linestyle=_dashes(index), linewidth=2)
        for index in range(len(runs))
    ]
    figure.legend(
        lines,
        [canvas.shortened(run.name, 28) for run in runs],
        loc="upper left",
        bbox_to_anchor=(0.005, 1 - 0.62 / height_in),
        ncols=4,
    )


def _colour(index: int) -> str:
    return canvas.COLOURS[index % len(canvas.COLOURS)]


def _dashes(index: int) -> Literal["-", "--", ":", "-."]:
    """After the colours have been used once, dashes tell runs apart."""
    looks: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")
    return looks[index // len(canvas.COLOURS) % len(looks)]


def _loss(axes: Axes, runs: Sequence[Curves]) -> None:
    """Each step faint, the running median bold, skipped steps as marks at the bottom."""
    faint = 0.3 if len(runs) == 1 else 0.12
    for index, run in enumerate(runs):
        middle = smoothed(run.loss)
        if middle != run.loss:
            axes.plot(*_columns(run.loss), color=_colour(index), linewidth=0.6, alpha=faint)
        axes.plot(*_columns(middle), color=_colour(index), linestyle=_dashes(index))
        if run.skipped:
            axes.plot(
                run.skipped,
                [0.02] * len(run.skipped),
                color=_colour(index),
                linestyle="none",
                marker="x",
                transform=axes.get_xaxis_transform(),
            )
    values = [value for run in runs for _, value in run.loss if not math.isnan(value)]
    if min(values, default=0) > 0:
        axes.set_yscale("log")
        _plain_numbers(axes)
    skipped = sum(len(run.skipped) for run in runs)
    note = f"; x: {skipped} skipped, not finite" if skipped else ""
    axes.set_title(f"Loss (bold: running median{note})")
    axes.set_ylabel("loss")


def _rate(axes: Axes, runs: Sequence[Curves]) -> None:
    for index, run in enumerate(runs):
        axes.plot(*_columns(run.rate), color=_colour(index), linestyle=_dashes(index))
    axes.set_title("Learning rate")
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 3), useMathText=False)
    axes.set_ylim(bottom=0)


def _waiting(axes: Axes, runs: Sequence[Curves]) -> None:
    for index, run in enumerate(runs):
        axes.plot(*_columns(run.waiting), color=_colour(index), linestyle=_dashes(index))
    axes.set_title("Waiting for examples, since the start or the last validation")
    axes.set_ylabel("% of time")
    axes.set_ylim(0, 100)


def _scores(axes: Axes, runs: Sequence[Curves], name: str) -> None:
    """SDR by step, of one stem or of their mean; the best mean of each run is marked."""
    marked = []
    for index, run in enumerate(runs):
        values = run.scores.get(name, ())
        look: dict[str, Any] = {"color": _colour(index), "linestyle": _dashes(index)}
        axes.plot(*_columns(values), marker=".", **look)
        if name == MEAN and run.best:
            axes.plot(
                *run.best, marker="o", markersize=9, markerfacecolor="none", clip_on=False, **look
            )
            marked.append(f"{run.best[1]:.2f}")
    best = f", best {', '.join(marked)}" if 0 < len(marked) < 4 else ""
    title = f"Mean over the stems{best}" if name == MEAN else canvas.shortened(name, 30)
    axes.set_title(title, weight="bold" if name == MEAN else "normal")
    axes.set_ylabel("SDR in dB" if name == MEAN else "dB")


def _columns(values: Curve) -> tuple[list[int], list[float]]:
    return [step for step, _ in values], [value for _, value in values]


def _plain_numbers(axes: Axes) -> None:
    """Numbers such as 0.02 on a logarithmic axis, also if it spans less than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    plain = FuncFormatter(lambda value, _: f"{value:g}")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1,) if high > 30 * low else (1, 2, 3, 5)))
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))


def _steps(panels: Sequence[Axes], lowest: Sequence[Axes]) -> None:
    """Numbers of steps at the lowest panels only."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    panels[0].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    panels[0].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    for axes in panels:
        axes.tick_params(labelbottom=axes in lowest)
        if axes in lowest:
            axes.set_xlabel("step")
