"""The listening report on the command line: `report`, `evaluate --report`, `separate --report`."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from demixing.cli import contest
from demixing.cli.main import main
from tests.small_runs import noise, write_run

SHARES = ("--recipe", "mdx_equal_shares")
WriteSong = Callable[..., Path]


def data_of(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'id="data">(.*?)</script>', text)
    assert found
    return dict(json.loads(found[1]))


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "my song.wav"
    soundfile.write(path, noise(1.5, 1), 44_100, subtype="FLOAT")
    return path


def test_the_page_is_in_the_first_run(tmp_path: Path, capsysbinary: Any) -> None:
    runs = [write_run(tmp_path / name, songs={"a": 1}, recipe=name) for name in "xy"]

    assert main(["report", *map(str, runs)]) == 0

    page = tmp_path / "x" / "report.html"
    assert capsysbinary.readouterr().out == f"{page}\n".encode()
    assert data_of(page)["systems"] == {"mdx": ["x", "y"]}


def test_the_page_and_its_sound_go_where_they_are_wanted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "mdx", songs={"a": 1})
    sizes = []

    for bitrate in ("64", "192"):
        words = ["--sound", "beside", "--bitrate", bitrate, "-o", str(tmp_path / "p.html")]
        assert main(["report", str(run), *words]) == 0
        sizes.append((tmp_path / "p_files" / "0-mixture.js").stat().st_size)

    assert sizes[1] > 2 * sizes[0]
    assert not list(tmp_path.glob(".unfinished*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "expected a folder that `demixing evaluate` has left"),
        (["mdx", "-o", "page.txt"], "expected the name of a page"),
        (["mdx", "-o", "no/page.html"], "expected a folder at 'no'"),
        (["mdx", "--bitrate", "8"], "expected --bitrate from 32 to 256 kbit/s, got 8"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "mdx", songs={"a": 1})

    assert main(["report", *words]) == 2

    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("package", ["jinja2", "PIL"])
def test_a_missing_package_is_said_before_the_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    song: Path,
    package: str,
) -> None:
    for name in list(sys.modules):
        if name.startswith("demixing.report") or name.split(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    page = tmp_path / "p.html"

    assert main(["separate", str(song), "-o", str(tmp_path / "out"), "--report", str(page)]) == 2

    error = capsys.readouterr().err
    assert error.startswith(f"error: expected the package {package}, which is not installed; run: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.engine
@pytest.mark.parametrize("kind", ["wav", "flac", "opus"])
def test_separated_songs_have_a_page(tmp_path: Path, song: Path, kind: str) -> None:
    page = tmp_path / "p.html"
    words = ["-o", str(tmp_path / "out"), *SHARES, "--format", kind, "--report", str(page)]

    assert main(["separate", str(song), *words]) == 0

    (found,) = data_of(page)["songs"]
    assert found["name"] == "my song"
    assert found["seconds"] == pytest.approx(1.5)
    (view,) = found["views"]
    names = [track["name"] for track in view["tracks"]]
    assert names == ["bass", "drums", "other", "vocals", "Mixture \N{MINUS SIGN} sum"]
    assert view["charts"][0]["sdr"] > (5 if kind == "opus" else 60)  # Opus keeps little of noise


@pytest.mark.engine
def test_a_song_that_fails_is_not_on_the_page(
    tmp_path: Path, song: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    page = tmp_path / "p.html"
    words = ["-o", str(tmp_path / "out"), *SHARES, "--report", str(page)]

    assert main(["separate", str(song), str(tmp_path / "bad.wav"), *words]) == 2
    assert [one["name"] for one in data_of(page)["songs"]] == ["my song"]

    page.unlink()
    assert main(["separate", str(song), *words, "--resume"]) == 0
    assert [one["name"] for one in data_of(page)["songs"]] == ["my song"]
    assert f"listen to the songs: {page}" in capsys.readouterr().err


def test_a_pipe_cannot_be_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-o", str(tmp_path / "out"), "--report", str(tmp_path / "p.html")]

    assert main(["separate", "-", *words]) == 2

    assert "--report reads the song again, which a pipe cannot" in capsys.readouterr().err


@pytest.fixture
def music(tmp_path: Path, rng: np.random.Generator) -> Path:
    folder = tmp_path / "data" / "a"
    folder.mkdir(parents=True)
    for stem in ("bass", "drums", "other", "vocals"):
        soundfile.write(folder / f"{stem}.wav", 0.05 * rng.standard_normal((44_100, 2)), 44_100)
    return tmp_path / "data"


@pytest.mark.engine
def test_an_evaluation_has_a_page(
    tmp_path: Path,
    music: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(contest, "here", lambda: False)  # so that it separates in this process
    page = tmp_path / "p.html"
    words = ["--output", str(tmp_path / "out"), "--report", str(page)]

    assert main(["evaluate", "--data", str(music), *SHARES, *words]) == 0

    scores = json.loads((tmp_path / "out" / "mdx" / "scores.json").read_text(encoding="utf-8"))
    (found,) = data_of(page)["songs"]
    for view in found["views"]:
        official = scores["songs"][0]["stems_db"][view["name"]]
        assert view["charts"][0]["sdr"] == pytest.approx(official, abs=1e-3)
    assert f"note: listen to the songs: {page}" in capsys.readouterr().err


def test_an_evaluation_without_a_place_for_its_page_does_not_begin(
    tmp_path: Path, music: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--output", str(tmp_path / "out"), "--report", str(tmp_path / "no" / "p.html")]

    assert main(["evaluate", "--data", str(music), *SHARES, *words]) == 2

    assert "expected a folder at" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
