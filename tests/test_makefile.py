"""`make evaluate` tries once to fetch better weights, and evaluates with or without them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed"),
]

FETCH, EVALUATE = "-m demixing fetch --if-possible recommended", "-m demixing evaluate"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile, and an environment that is ready, whose Python only logs its arguments."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("", "-dev", "-weights", "-demucs"):
        (tmp_path / f"requirements{name}.txt").touch()
    (tmp_path / "pyproject.toml").touch()
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "with open('words', 'a') as file:\n"
        "    print(*sys.argv[1:], file=file)\n"
    )
    python.chmod(0o755)
    (tmp_path / ".venv" / "ready").touch()
    return tmp_path


OUTER = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "ARGS", "WEIGHTS")
"""Variables of a `make test` that runs these tests, hidden from the make that they run."""


def made(checkout: Path, *words: str, target: str = "evaluate") -> list[str]:
    """The arguments with which make called Python."""
    kept = {name: value for name, value in os.environ.items() if name not in OUTER}
    subprocess.run(
        ["make", target, *words], cwd=checkout, env=kept, check=True, capture_output=True
    )
    lines = (checkout / "words").read_text().splitlines()
    (checkout / "words").unlink()
    return [line.strip() for line in lines]


def test_weights_are_requested_once(checkout: Path) -> None:
    assert made(checkout) == [FETCH, EVALUATE]
    assert made(checkout) == [EVALUATE]


def test_weights_can_be_left_out(checkout: Path) -> None:
    assert made(checkout, "WEIGHTS=none") == [EVALUATE]
    assert made(checkout) == [FETCH, EVALUATE]


def test_the_command_is_installed_without_changing_other_packages(checkout: Path) -> None:
    (checkout / ".venv" / "ready").unlink()

    *_, last = made(checkout, "PYTHON=true", target=".venv/ready")

    assert last == "-m pip install --quiet --no-deps --editable ."
