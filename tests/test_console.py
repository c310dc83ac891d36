"""All commands share one guard: each error has its exit status and one line."""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from demixing.cli import console
from demixing.errors import ConfigError, EvaluationError, OutputError

ROOT = Path(__file__).parents[1]


def raising(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(_: argparse.Namespace) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    "error", [ConfigError("a\nb"), OutputError("a\nb"), EvaluationError("a\nb")]
)
def test_a_user_error_is_one_line_and_status_2(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    assert console.guarded(raising(error), argparse.Namespace()) == 2
    assert capsys.readouterr().err == "error: a\\nb\n"


def test_a_command_returns_its_own_status() -> None:
    assert console.guarded(lambda _: 1, argparse.Namespace()) == 1


def test_ctrl_c_is_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.guarded(raising(KeyboardInterrupt()), argparse.Namespace(), "stopped") == 130
    assert capsys.readouterr().err == "stopped\n"


def test_a_missing_package_of_an_extra_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = ModuleNotFoundError("No module named 'av'", name="av")

    assert console.guarded(raising(error), argparse.Namespace()) == 2

    assert "expected the package av, which is not installed; run: pip" in capsys.readouterr().err


def test_another_missing_module_is_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError):
        console.guarded(raising(ModuleNotFoundError(name="demixing.x")), argparse.Namespace())


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        console.guarded(raising(ZeroDivisionError()), argparse.Namespace())


@pytest.mark.process
def test_a_closed_pipe_is_status_141() -> None:
    program = (
        "import argparse, itertools, sys\n"
        "from demixing.cli import console\n"
        "def run(_):\n"
        "    console.show(map(str, itertools.count()))\n"
        "sys.exit(console.guarded(run, argparse.Namespace()))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        said = process.stderr.read()

    assert process.returncode == 141, said
    assert not said
