"""The rooms and the doors between them: see docs/architecture.md."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT: dict[str, set[str]] = {
    "evaluator": set(),
    "models": set(),
    "my_submission": {"models"},
    "samples": {"my_submission"},
    "evaluate_locally": {"my_submission", "evaluator", "samples"},
    "training": {"my_submission", "models", "evaluator"},
    "train": {"training", "my_submission", "evaluator"},
    "submitting": {"evaluator"},
    "submit": {"submitting", "evaluator"},
}
PROJECT = {*MAY_IMPORT, "tests", "tools"}
LIBRARIES: dict[str, set[str]] = {
    "evaluator": {"numpy", "soundfile"},
    "models": {"torch"},
    "my_submission": {
        "numpy",
        "onnxruntime",
        "soundfile",
        "soxr",
        "torch",
        "librosa",
        "scipy",
        "tqdm",
    },
    "training": {"av", "numpy", "pyworld", "scipy", "soundfile", "soxr", "torch"},
    "submitting": set(),
    "submit": set(),
}
"""What each room may import besides the standard library."""


def sources(room: str) -> list[Path]:
    file = ROOT / f"{room}.py"
    return [file] if file.is_file() else sorted((ROOT / room).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the direction"
            assert node.module is not None
            yield node.module.split(".")[0]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    files = sources(room)

    found = {name for path in files for name in imported(path)} & PROJECT

    assert files
    assert found <= MAY_IMPORT[room] | {room}


@pytest.mark.parametrize("room", LIBRARIES)
def test_a_room_uses_only_its_libraries(room: str) -> None:
    found = {name for path in sources(room) for name in imported(path)}

    assert found - PROJECT - sys.stdlib_module_names <= LIBRARIES[room]


@pytest.mark.process
@pytest.mark.parametrize("command", ["my_submission", "evaluator", "submit"])
def test_help_does_not_wait_for_torch(command: str) -> None:
    program = (
        "import sys, runpy\n"
        f"sys.argv = ['{command}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('{command}', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True)

    assert done.returncode == 0, done.stderr.decode()
