"""Exported weights: their names, what they were trained on, and runs without validations."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from demixing.cli.main import main
from demixing.recipes import boards
from demixing.training import checkpoint, config, setup
from demixing.training.checkpoint import RunState
from demixing.training.ema import Average
from demixing.training.loop import BEST
from demixing.training.optimiser import optimiser_of
from demixing.weights import catalogue, readers

pytestmark = pytest.mark.engine

STEMS = ("vocals", "drums", "bass", "other")
RUN = """
stems = ["vocals", "drums", "bass", "other"]
network = { name = "band_split", options = { features = 4, layers = 1, chunk_s = 1.0 } }
data = { train = ["/data/moisesdb23_labelnoise_v1.0"], valid = ["/data/valid"] }
"""
SPLEETER = catalogue.find("spleeter_4stems_bass")
LABEL_NOISE = "moisesdb23_labelnoise_v1.0"
MakeRun = Callable[..., Path]


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights that were made here."""
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes a run as training leaves it."""

    def make(name: str = "run", *, start: str = "", valid: bool = True) -> Path:
        file = tmp_path / f"{name}.toml"
        file.write_text(RUN if valid else RUN.replace('"/data/valid"', ""))
        run = config.load(file)
        network = setup.built(run)
        average = Average(network, 0.9)
        with torch.no_grad():
            for parameter in average.network.parameters():
                parameter.mul_(0.5)
        folder = tmp_path / name
        folder.mkdir()
        run = config.updated(run, {"network": {"start": start}})
        progress = RunState(step=7)
        optimiser = optimiser_of(network, run.optimiser)
        checkpoint.save(folder / checkpoint.STATE, run, progress, network, average, optimiser)
        if valid:
            best = {
                "step": 5,
                "network": average.network.state_dict(),
                "scores": {"valid/song": dict.fromkeys(STEMS, 3.25)},
                "stems": dict.fromkeys(STEMS, 3.25),
            }
            checkpoint.write(folder / BEST, best)
        return folder

    return make


def export(run: Path, to: Path, *words: str, name: str = "small") -> int:
    return main(["export", str(run), "--name", name, "--to", str(to), *words])


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence of a command that failed."""
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert printed.out == ""
    return line


def trained_on(file: Path) -> list[str]:
    (entry,) = tomllib.loads(file.read_text()).values()
    found: list[str] = entry["trained_on"]
    return found


def licence(file: Path) -> str:
    (entry,) = tomllib.loads(file.read_text()).values()
    return str(entry["licence"])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("größe", "letters without accents"),
        ("a b", "letters without accents"),
        ("1a", "letters without accents"),
        ("a" * 101, "letters without accents"),
        ("demucs_v4_955717e8", "there are other weights 'demucs_v4_955717e8'"),
    ],
)
def test_a_name_that_would_break_the_catalogue_is_refused(
    make_run: MakeRun, weights: Path, capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    assert export(make_run(), weights, name=name) == 2

    assert f"expected {'a new ' * ('other' in reason)}--name" in (line := refused(capsys))
    assert reason in line
    assert not weights.exists()
    assert catalogue.entries()


def test_weights_are_exported_again_but_never_over_others(
    make_run: MakeRun, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    assert export(run, weights) == 0
    assert export(run, weights) == 0
    (weights / "small.toml").rename(weights / "another.toml")
    capsys.readouterr()

    assert export(run, weights) == 2

    assert "expected a new --name, but there are other weights 'small'" in refused(capsys)
    text = (weights / "another.toml").read_text().replace("[small]", "[another]")
    (weights / "another.toml").write_text(text)
    assert export(run, weights) == 2
    assert "small.safetensors' is the file of 'another'" in refused(capsys)


def test_what_the_catalogue_cannot_contain_is_refused(
    make_run: MakeRun, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(make_run(), weights, "--licence", "x\x7f") == 2

    assert "shorten or change --trained-on or --licence" in refused(capsys)
    assert not weights.exists()


def test_the_data_and_licence_of_the_first_weights_count(make_run: MakeRun, weights: Path) -> None:
    assert export(make_run("first", start="spleeter_4stems_bass"), weights, name="first") == 0
    run = make_run("second", start=str(weights / "first.safetensors"))
    assert export(run, weights, name="second") == 0

    expected = [LABEL_NOISE, *SPLEETER.trained_on]
    assert trained_on(weights / "first.toml") == expected
    assert trained_on(weights / "second.toml") == expected
    first = f"MIT; of spleeter_4stems_bass, from which it started: {SPLEETER.licence}"
    assert licence(weights / "first.toml") == first
    second = licence(weights / "second.toml")
    assert second.endswith(f"; of first.safetensors, from which it started: {first}")
    admitted = boards.admitting(STEMS, expected)
    assert boards.admitting(STEMS, [LABEL_NOISE]) != admitted


@pytest.mark.parametrize("start", ["/nowhere/mine.safetensors", "no_such_weights"])
def test_unknown_first_weights_need_the_training_data(
    make_run: MakeRun, weights: Path, capsys: pytest.CaptureFixture[str], start: str
) -> None:
    run = make_run(start=start)

    assert export(run, weights) == 2

    line = refused(capsys)
    assert f"expected to know what {start!r}, from which the run started, was trained on" in line
    assert line.endswith("give all training data with --trained-on")
    assert not weights.exists()
    assert export(run, weights, "--trained-on", "my songs") == 0
    assert trained_on(weights / "small.toml") == ["my songs"]
    assert licence(weights / "small.toml") == (
        f"MIT; of {Path(start).name}, from which it started: unknown"
    )


@pytest.mark.parametrize("bits", ["16", "8"])
def test_a_run_without_validations_is_exported_without_scores(
    make_run: MakeRun, weights: Path, capsys: pytest.CaptureFixture[str], bits: str
) -> None:
    run = make_run(valid=False)

    assert export(run, weights, "--bits", bits) == 0

    printed = capsys.readouterr()
    files = [weights / f"small{suffix}" for suffix in (".safetensors", ".toml", ".md")]
    assert printed.out.splitlines() == list(map(str, files))
    (line,) = printed.err.splitlines()
    assert line.startswith("note: these weights have no scores")
    average = checkpoint.contents(run / checkpoint.STATE)["average"]
    for key, value in readers.read("safetensors", files[0]).state.items():
        step = value.abs().max() / 127 if bits == "8" and value.dim() > 1 else 1e-3
        torch.testing.assert_close(value.float(), average[key], atol=float(step), rtol=1e-2)
    assert catalogue.find("small").published == "not measured"
    assert "have no scores, because the training had no songs" in files[2].read_text()


def test_a_run_whose_validations_had_no_score_has_diverged(
    make_run: MakeRun, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    (run / BEST).unlink()
    state = checkpoint.contents(run / checkpoint.STATE)
    state["progress"]["worse"] = 3
    checkpoint.write(run / checkpoint.STATE, state)

    assert export(run, weights) == 2

    assert "had a score, because its training diverged" in refused(capsys)


def test_the_same_weights_may_be_exported_to_other_folders(
    make_run: MakeRun, weights: Path, tmp_path: Path
) -> None:
    run = make_run()

    assert export(run, weights) == 0
    assert export(run, tmp_path / "disk") == 0
    assert (tmp_path / "disk" / "small.safetensors").is_file()


def test_a_run_that_is_not_validated_yet_stays(
    make_run: MakeRun, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    (run / BEST).unlink()

    assert export(run, weights) == 2

    line = refused(capsys)
    assert f"expected {BEST} in {str(run)!r}, which the first validation writes" in line
    assert "remove" not in line
