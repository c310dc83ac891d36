"""All commands share one guard: each error has its exit status and one line."""

import argparse
import os
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
    error = ModuleNotFoundError("No module named 'mido'", name="mido")

    assert console.guarded(raising(error), argparse.Namespace()) == 2

    assert "expected the package mido, which is not installed; run: pip" in capsys.readouterr().err


def test_another_missing_module_is_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError):
        console.guarded(raising(ModuleNotFoundError(name="demixing.x")), argparse.Namespace())


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        console.guarded(raising(ZeroDivisionError()), argparse.Namespace())


def test_names_in_lines_are_shown_and_columns_stay(capsys: pytest.CaptureFixture[str]) -> None:
    console.show(["fault\tno\\pe \x1b[2J\udcff\nnext", "été"])

    assert capsys.readouterr().out == "fault\tno\\pe \\x1b[2J\\udcff\\nnext\nété\n"


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


SEPARATE = ["separate", "song.wav", "-o", "out", "--recipe", "mdx_equal_shares"]


@pytest.mark.process
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
@pytest.mark.parametrize("words", [["list", "--separators"], SEPARATE, ["lits"], ["--version"]])
def test_closed_streams_are_no_tracebacks(
    write_song: Callable[..., Path], tmp_path: Path, words: list[str], closed: str
) -> None:
    write_song("song.wav")

    done = shell(f"{closed}", words, tmp_path)

    assert done.returncode == (2 if words == ["lits"] else 0)
    assert "Traceback" not in done.stderr
    assert (words != SEPARATE) or len(list((tmp_path / "out" / "song").iterdir())) == 4


@pytest.mark.process
def test_a_full_output_is_one_sentence(tmp_path: Path) -> None:
    done = shell("> /dev/full", ["list", "--separators"], tmp_path)

    assert done.returncode == 2
    assert done.stderr == "error: cannot write to standard output: No space left on device\n"


@pytest.mark.process
def test_an_error_that_cannot_be_printed_keeps_its_status(tmp_path: Path) -> None:
    assert shell("2> /dev/full", ["separate", "no.wav", "-o", "out"], tmp_path).returncode == 2


@pytest.mark.process
def test_an_old_python_is_one_sentence(tmp_path: Path) -> None:
    program = "import sys; sys.version_info = (3, 10, 4, 'final', 0); import demixing"

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr.startswith("error: demixing needs Python 3.11 or newer, got 3.10.4")
    assert done.stderr.count("\n") == 1


@pytest.mark.process
@pytest.mark.parametrize(("inherited", "expected"), [("SIG_DFL", 130), ("SIG_IGN", 0)])
def test_a_closed_terminal_ends_a_command_cleanly_unless_it_is_ignored(
    inherited: str, expected: int
) -> None:
    # As a parent leaves it: these tests may themselves run under nohup. Raised in this thread,
    # because another one of torch may take a signal from outside, later.
    program = (
        "import signal, sys\n"
        f"signal.signal(signal.SIGHUP, signal.{inherited})\n"
        "from demixing.cli import list_, main\n"
        "list_.run = lambda options: signal.raise_signal(signal.SIGHUP) or 0\n"
        "sys.argv = ['demixing', 'list']\n"
        "main.command()\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == expected
    assert "Traceback" not in done.stderr


def shell(redirection: str, words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, with streams as a shell sets them."""
    program = [sys.executable, "-m", "demixing", *words]
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirection}', "", *program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
