"""Training curves have the values of the log, whatever state the run is in."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

import train
from demixing.cli.main import main
from demixing.errors import ConfigError
from demixing.plots import canvas, training, training_figure
from demixing.training.log import LOG

ROOT = Path(__file__).parents[1]
STEMS = ("bass", "drums")


def event(step: int, **more: Any) -> dict[str, Any]:
    values = {"loss": 1 / step, "gradient": 1.0, "rate": step / 1000, "seconds": 0.1, "busy": 0.75}
    return {"kind": "step", "step": step, **values, **more}


def validation(step: int) -> dict[str, Any]:
    stems = {"bass": step / 10, "drums": step / 5}
    mean = sum(stems.values()) / 2
    return {"kind": "validation", "step": step, "mean": mean, "stems": stems, "songs": {}}


def written(folder: Path, events: list[dict[str, Any]], rest: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(one)}\n" for one in events)
    (folder / LOG).write_text(text + rest, encoding="utf-8")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    events = [event(step) for step in range(1, 21)]
    return written(tmp_path / "net", [*events[:10], validation(10), *events[10:], validation(20)])


def test_the_curves_have_the_values_of_the_log(run: Path) -> None:
    curves = training.read(run)

    assert curves.name == "net"
    assert curves.loss == tuple((step, 1 / step) for step in range(1, 21))
    assert curves.rate == tuple((step, step / 1000) for step in range(1, 21))
    assert curves.waiting == tuple((step, 25.0) for step in range(1, 21))
    assert list(curves.scores) == ["mean", "bass", "drums"]
    assert curves.scores["drums"] == ((10, 2.0), (20, 4.0))
    assert curves.best == (20, 3.0)
    assert curves.skipped == ()


def test_the_figure_has_the_values_of_the_curves(run: Path) -> None:
    curves = training.read(run)

    with canvas.style():
        figure = training_figure.drawn([curves])

    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    lines = {
        title: [tuple(zip(*cast(Any, line.get_data()), strict=True)) for line in axes.lines]
        for title, axes in panels.items()
    }
    assert curves.loss in lines["Loss (bold: running median)"]
    assert lines["Learning rate"] == [curves.rate]
    assert lines["bass"] == [curves.scores["bass"]]
    assert lines["Mean over the stems, best 3.00"][0] == curves.scores["mean"]


def test_a_log_that_is_cut_off_is_drawn_up_to_there(tmp_path: Path) -> None:
    folder = written(tmp_path / "killed", [event(1), event(2)], rest='{"kind": "step", "st')

    assert training.read(folder).loss == ((1, 1.0), (2, 0.5))


def test_steps_that_were_not_finite_are_gaps_and_marked(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", [event(1), event(2, loss=None), event(3)])

    curves = training.read(folder)

    assert math.isnan(curves.loss[1][1])
    assert curves.skipped == (2,)
    with canvas.style():
        axes = training_figure.drawn([curves]).axes[0]
    assert "1 skipped, not finite" in axes.get_title(loc="left")
    assert any(list(cast(Any, line.get_xdata())) == [2] for line in axes.lines)


def test_the_running_median_keeps_the_middle_and_drops_outliers() -> None:
    values = tuple((step, 100.0 if step % 50 == 25 else 1.0) for step in range(1000))

    middle = training.smoothed(values)

    assert {value for _, value in middle} == {1.0}
    assert (middle[0][0], middle[-1][0]) == (25, 974)
    assert training.smoothed(values[:10]) == values[:10]


def test_the_running_median_of_a_long_run_has_few_points() -> None:
    values = tuple((step, float(step % 7)) for step in range(100_000))

    middle = training.smoothed(values)

    assert len(middle) == training.POINTS
    assert {value for _, value in middle} == {3.0}
    assert (middle[0][0], middle[-1][0]) == (2500, 97_499)


def test_a_run_in_progress_is_not_disturbed(run: Path, tmp_path: Path) -> None:
    path = run / LOG
    os.utime(path, (1, 1))
    before = path.read_bytes()

    with path.open("a", encoding="utf-8") as writer:
        assert train.main([str(run), "--plot", str(tmp_path / "a.png")]) == 0
        writer.write("more\n")

    assert path.read_bytes() == before + b"more\n"
    assert [one.name for one in run.iterdir()] == [LOG]


def test_several_runs_are_in_one_figure(run: Path, tmp_path: Path) -> None:
    old = written(tmp_path / "old $x_1$ <b>", [event(1, busy=0.1)])  # no validation so far

    curves = [training.read(run), training.read(old)]
    with canvas.style():
        figure = training_figure.drawn(curves)

    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["net", "old $x_1$ <b>"]
    assert main(["train", str(run), str(old), "--plot", str(tmp_path / "both.svg")]) == 0
    assert (tmp_path / "both.svg").read_text(encoding="utf-8").rstrip().endswith("</svg>")


def test_a_run_is_named_by_its_file_too(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run.rename(tmp_path / "moved")
    (tmp_path / "training_outputs").mkdir()
    (tmp_path / "moved").rename(tmp_path / "training_outputs" / "net")

    assert main(["train", "runs/net.toml", "--plot", "net.pdf"]) == 0

    assert (tmp_path / "net.pdf").read_bytes().startswith(b"%PDF")


def test_a_log_without_waiting_or_validation_has_fewer_panels(tmp_path: Path) -> None:
    steps = [event(step) for step in (1, 2)]
    for one in steps:
        del one["busy"]

    with canvas.style():
        figure = training_figure.drawn([training.read(written(tmp_path / "run", steps))])

    assert len(figure.axes) == 2


@pytest.mark.parametrize("found", ["none", "no step in it"])
def test_a_run_without_a_log_is_refused(
    found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if found != "none":
        written(tmp_path / "run", [validation(1)])

    assert main(["train", str(tmp_path / "run"), "--plot", str(tmp_path / "a.png")]) == 2

    said = capsys.readouterr().err
    assert f"found {found}; name a run that has trained" in said
    assert not (tmp_path / "a.png").exists()


def test_only_one_run_is_trained_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "a.toml", "b.toml"]) == 2
    assert "expected one RUN to train; several are for --plot, got 2" in capsys.readouterr().err

    assert main(["train", "a.toml", "b.toml", "--plot", "a.png", "--out", "c"]) == 2
    assert "expected one RUN with --out, got 2" in capsys.readouterr().err


def test_a_wrong_suffix_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(run), "--plot", str(run / "curves.gif")]) == 2

    assert "ends in .png, .svg or .pdf" in capsys.readouterr().err


def test_a_log_of_nothing_but_validations_has_no_curves(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no step in it"):
        training.read(written(tmp_path / "run", [validation(3)]))


@pytest.mark.process
def test_drawing_does_not_wait_for_torch(run: Path, tmp_path: Path) -> None:
    program = (
        "import sys, train\n"
        "assert train.main(sys.argv[1:]) == 0\n"
        "sys.exit('torch' in sys.modules or 'matplotlib.pyplot' in sys.modules)\n"
    )
    words = [str(run), "--plot", str(tmp_path / "a.png")]

    done = subprocess.run([sys.executable, "-c", program, *words], cwd=ROOT, capture_output=True)

    assert done.returncode == 0, done.stderr.decode()
