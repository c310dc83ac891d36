"""Every command in a page is one that works: it is run here, or parsed by its own program.

tests/docs_commands.toml says which; a new command of a page fails a test until it is there.
"""

import argparse
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from demixing.cli.main import main
from tests.console_blocks import commands, python_blocks, words

pytestmark = [pytest.mark.process, pytest.mark.engine]

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT, ROOT / "docs", ROOT / "docs" / "api", ROOT / "docs" / "separators")
PAGES = sorted(page for folder in FOLDERS for page in folder.glob("*.md"))

TABLE = tomllib.loads((ROOT / "tests" / "docs_commands.toml").read_text(encoding="utf-8"))["groups"]


def listed(how: str) -> list[str]:
    """Commands that are treated in some way."""
    groups = (group["commands"].splitlines() for group in TABLE if group["how"].startswith(how))
    return [command for group in groups for command in group]


RUN, PARSED, LEFT = listed("run"), listed("parse"), listed("leave")
WITH_NETWORKS = listed("run with networks")

MAKE = ("check", "docs", "evaluate", "format", "fuzz", "grade", "image", "quick", "test")
"""Targets that pages name: make says what it would do."""

FAST = {"mdx": "mdx_equal_shares", "cdx": "cdx_equal_shares"}
NAMES = {"SONG": "song.mp3", "FOLDER": "album", "NAME": "mdx_unet", "RECIPE": FAST["mdx"]}
"""What the words of pages stand for, when a command is run."""


class ParsedError(BaseException):
    """Raised in place of what a program does after its arguments were parsed."""


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory, costs: Path, no_weights: Path) -> Path:
    """A folder with all files that the pages' commands name; songs of a second, of a clip."""
    folder = tmp_path_factory.mktemp("songs")
    second = slice(0, 44_100)
    clip = ROOT / "samples" / "cdx" / "clip_1_briefing"
    stems = [soundfile.read(clip / f"{stem}.flac")[0][second] for stem in ("dialog", "music")]
    mixture = sum(stems)
    for name in ("song.mp3", "song.wav", "film.wav", "album/one.wav", "album/two.wav"):
        write(folder / name, mixture)
    for name in ("A.wav", "B.wav", "C.wav", "TRUE.wav"):
        write(folder / name, stems[0])
    for data in ("DIR", "DATA", "CORPUS", "REFERENCES", "ESTIMATES"):
        for index, stem in enumerate(("bass", "drums", "other", "vocals")):
            for song, gain in (("a", 0.5), ("b", 0.3)):
                write(folder / data / song / f"{stem}.wav", gain * stems[index % 2])
    for index, stem in enumerate(("dialog", "effect", "music")):
        write(folder / "FILM" / "a" / f"{stem}.wav", 0.5 * stems[index % 2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMIX_ISOLATE", "0")
        patch.setenv("DEMIX_COSTS", str(costs))
        patch.setenv("DEMIX_WEIGHTS", str(no_weights))
        output = folder / "evaluator_outputs"
        for track, data in (("mdx", "DIR"), ("cdx", "FILM")):
            options = ["--recipe", FAST[track], "--data", str(folder / data)]
            main(["evaluate", "--track", track, *options, "--output", str(output)])
    shutil.rmtree(output / "mdx")  # the pages compare runs of one track; the history has both
    shutil.copytree(output, folder / "shares")
    return folder


def write(path: Path, audio: NDArray[np.float64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, 44_100)


@pytest.fixture
def here(songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the songs, which is the working directory."""
    folder = shutil.copytree(songs, tmp_path / "here")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(ROOT))
    return folder


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", RUN)
def test_a_command_runs_as_the_page_says(command: str) -> None:
    given = [NAMES.get(word, word) for word in words(command)]
    if given[1] in ("separate", "evaluate") and command not in WITH_NETWORKS:
        given += ["--recipe", FAST["cdx" if "cdx" in given else "mdx"]]
    faults_found = {1} if "check" in given else set()

    assert status(given) in {0, *faults_found}


def status(given: Sequence[str]) -> int:
    """Run a command in this process and return its exit status."""
    if given[0] == "demixing":
        return main(given[1:])
    try:
        program(given)
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def program(given: Sequence[str]) -> None:
    """Run a script or a module of the repository, as Python does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", list(given[1:] if given[1] != "-m" else given[2:]))
        # Another test may have imported it, and then runpy warns.
        patch.delitem(sys.modules, f"{given[2]}.__main__", raising=False)
        if given[1] == "-m":
            runpy.run_module(given[2], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(str(ROOT / given[1]), run_name="__main__")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", PARSED)
def test_a_command_is_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parsed(*given: object, **more: object) -> None:
        parse(*given, **more)  # type: ignore[call-overload]
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)

    with pytest.raises(ParsedError):
        status(words(command))


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", MAKE)
def test_make_has_the_target(target: str) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}

    done = subprocess.run(["make", "-n", target], cwd=ROOT, env=plain, capture_output=True)

    assert done.returncode == 0, done.stderr.decode()


def test_extras_that_pages_install_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [one for page in PAGES for one in commands(page) if one.startswith("pip ")]

    assert lines
    for line in lines:
        extras = re.findall(r"\[([\w,]+)\]", line)
        assert {name for part in extras for name in part.split(",")} <= {
            *project["optional-dependencies"]
        }


@pytest.mark.parametrize("page", ["README.md", "docs/README.md", "docs/api/README.md"])
def test_python_of_a_first_page_runs(page: str, here: Path) -> None:
    audio, sample_rate_hz = soundfile.read(here / "song.wav")
    (code,) = python_blocks((ROOT / page).read_text(encoding="utf-8"))
    names = {"audio": audio, "sample_rate_hz": sample_rate_hz}

    exec("import demixing, soundfile\n" + code.replace("mdx_default", FAST["mdx"]), names)

    assert names["stems"]["vocals"].shape == audio.shape


def test_every_command_of_a_page_is_in_the_table() -> None:
    known = {*RUN, *PARSED, *LEFT}
    found = {command for page in PAGES for command in commands(page)}
    found -= {command for command in found if command.startswith(("make ", "pip "))}

    assert sorted(found - known) == []


def test_every_target_of_a_page_is_known() -> None:
    found = {one.split()[1] for page in PAGES for one in commands(page) if one.startswith("make ")}

    assert sorted(found - {*MAKE}) == []


def test_the_table_has_no_command_that_is_in_no_page() -> None:
    found = {command for page in PAGES for command in commands(page)}
    old = {*RUN, *PARSED, *LEFT}

    assert sorted(old - found) == []
