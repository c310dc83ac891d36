"""``demixing describe``: the submission described."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from demixing import separators
from demixing.cli import describe
from demixing.cli.main import main
from demixing.errors import ConfigError
from demixing.recipes import reading
from demixing.weights import catalogue, checkpoints

ROOT = Path(__file__).parents[1]


def described(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main(["describe", "--json"]) == 0
    table: dict[str, object] = json.loads(capsys.readouterr().out)
    return table


def test_the_default_recipe_is_described(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMIX_TRACK", "cdx")

    table = described(capsys)

    assert (table["track"], table["recipe"], table["boards"]) == ("cdx", "cdx_default", ["B"])
    every = table["weights"]
    assert isinstance(every, list)
    optional = [one["name"] for one in every if one["optional"]]
    assert optional[:-1] == ["deepfilternet3", "conv_tasnet_speech"]
    assert optional[-1].endswith("_955717e8")  # HTDemucs, from any place
    assert {one["name"] for one in every if not one["optional"]} == {
        *("spleeter_2stems_vocals", "spleeter_2stems_accompaniment", "cdx_unet"),
    }
    known = catalogue.entries()
    for one in every[:-1]:
        entry = known[one["name"]]
        assert one["condition"] == "ok"
        assert Path(one["path"]) == entry.path().absolute()
        assert one["package"] == entry.package
        assert one["sha256"] == entry.sha256
        assert one["size_bytes"] == entry.size_bytes
        assert one["trained_on"] == entry.trained_on
        assert one["needs_gpu"] is False


def test_missing_files_are_described(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEMIX_RECIPE", "danna_sep_fast")
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path))

    weights = described(capsys)["weights"]

    assert isinstance(weights, list)
    assert [(one["name"], one["condition"]) for one in weights] == [
        ("danna_unet", "missing"),
        ("danna_demucs", "missing"),
    ]
    assert weights[0]["path"] == str(tmp_path / "unet_attention.pth")


def test_without_json_a_table_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMIX_RECIPE", "mdx_silence")

    assert main(["describe"]) == 0

    assert capsys.readouterr().out == "recipe\tmdx_silence\tmdx\tA,B,C\n"


@pytest.mark.process
def test_a_recipe_without_weights_does_not_wait_for_torch() -> None:
    program = (
        "import os, sys\n"
        "os.environ['DEMIX_RECIPE'] = 'mdx_silence'\n"
        "from demixing.cli.main import main\n"
        "assert main(['describe', '--json']) == 0\n"
        "sys.exit('torch' in sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True)

    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("name", reading.names())
def test_all_weights_of_all_recipes_are_in_the_catalogue(name: str) -> None:
    assert all(entry.name for entry in describe.used(reading.load(name)))


def test_weights_that_need_a_gpu_are_marked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMIX_RECIPE", "mdx_filters")
    slow = {
        name: dataclasses.replace(one, needs_gpu=name.endswith("vocals"))
        for name, one in catalogue.entries().items()
    }
    monkeypatch.setattr(describe, "find", lambda name: slow[name])

    assert main(["describe"]) == 0

    _, *lines = capsys.readouterr().out.splitlines()
    marked = {line.split("\t")[1] for line in lines if "ok, needs a GPU" in line.split("\t")[2]}
    assert marked == {"spleeter_2stems_vocals"}
    assert len(lines) > 1


OPTIONS: dict[str, dict[str, object]] = {
    "demucs_v3": {"bag": "mdx", "stems": ["bass"]},
    "demucs_v4": {"bag": "htdemucs_ft", "stems": ["vocals"]},
    "mdx_net": {"stem": "bass", "mixer": "mdx_net_mixer"},
    "open_unmix": {"model": "umxhq", "targets": ["bass", "vocals"]},
    "bytesep": {"stem": ["vocals", "accompaniment"]},
    "danna_sep": {"fast": True},
    "spleeter": {"stems": 4},
    "trained": {"weights": "umxhq_bass"},
}
"""Options that decide which files are opened."""


@pytest.fixture
def no_first_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the weights of new networks uninitialised: random numbers take seconds."""
    for name in ("uniform_", "normal_", "kaiming_uniform_", "xavier_uniform_", "orthogonal_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)


@pytest.mark.usefixtures("no_first_weights")
@pytest.mark.parametrize("name", separators.names())
def test_a_separator_opens_the_files_that_it_declares(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the same order, as far as it gets without the files."""
    options = OPTIONS.get(name, {})
    opened: list[str] = []
    find = catalogue.find

    def noted(wanted: str) -> catalogue.Checkpoint:
        opened.append(wanted)
        return find(wanted)

    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(checkpoints, "find", noted)
    said = separators.required_weights(name, options)
    try:
        separators.build(name, options)
        assert opened == list(said)
    except Exception:
        assert opened
        assert opened == list(said)[: len(opened)]


def test_an_unknown_option_of_a_separator_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match="did you mean 'stems'"):
        separators.required_weights("spleeter", {"stms": 2})
    with pytest.raises(ConfigError, match="rejects its options"):
        separators.required_weights("spleeter", {"stems": 3})
    with pytest.raises(ConfigError, match="no separator named"):
        separators.required_weights("nothing")
