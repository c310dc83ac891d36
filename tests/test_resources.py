"""Messages about missing files give the remedy for a checkout, or for a wheel."""

import dataclasses
from pathlib import Path

import pytest

from demixing.cli.main import main
from demixing.errors import CheckpointError
from demixing.machine import installation
from demixing.weights import catalogue
from demixing.weights.installer import Installer


def test_an_extra_is_installed_by_name_or_from_its_pinned_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = Path(__file__).parents[1]

    for extra, words in installation.PINNED.items():
        assert installation.install_command(extra) == f"pip install {words}"
        assert (root / words.split()[-1]).is_file()

    monkeypatch.setattr(installation, "INSTALLED", True)
    assert installation.install_command("demucs") == "pip install 'sound-demixing[demucs]'"


def test_weights_that_ship_are_restored_from_where_they_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shipped = next(one for one in catalogue.entries().values() if one.folder)
    assert "checkout -- " in shipped.remedy()

    monkeypatch.setattr(catalogue, "INSTALLED", True)

    assert shipped.remedy() == "reinstall the package 'sound-demixing'"


def test_a_wheel_keeps_what_it_fetches_in_the_cache_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEMIX_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(catalogue, "INSTALLED", True)
    fetched = next(one for one in catalogue.entries().values() if one.url)

    assert fetched.path() == tmp_path / "sound-demixing" / "weights" / fetched.file
    assert not dataclasses.replace(fetched, file="other").exists()


@pytest.mark.usefixtures("homeless")
def test_a_wheel_without_a_home_has_the_weights_that_ship_and_installs_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DEMIX_WEIGHTS")
    monkeypatch.setattr(catalogue, "INSTALLED", True)
    known = catalogue.entries().values()
    shipped = next(one for one in known if one.folder)
    missing = next(one for one in known if one.url and not one.exists())

    assert Installer().install(shipped) == shipped.path()
    with pytest.raises(CheckpointError, match=r"a home folder .* set DEMIX_WEIGHTS to a folder"):
        Installer(source=str(tmp_path)).install(missing)
    assert main(["import", missing.name, str(tmp_path / "file")]) == 2
    assert "error: expected a home folder for weights" in capsys.readouterr().err
