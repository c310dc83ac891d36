"""Every command describes its options, and returns an exit status."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demixing import console
from demixing.errors import ConfigError, EvaluationError, OutputError
from demixing.training.__main__ import COMMANDS

ROOT = Path(__file__).parents[1]


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser and all parsers below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from parsers(one)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_has_help_and_shows_its_default(name: str) -> None:
    parser = argparse.ArgumentParser()
    COMMANDS[name].add(parser.add_subparsers())

    for one in parsers(parser):
        exclusive = {
            id(action)
            for group in one._mutually_exclusive_groups
            for action in group._group_actions
        }
        for action in one._actions:
            if isinstance(action, argparse._SubParsersAction):
                continue
            assert action.help, action
            optional = action.option_strings and not action.required and action.nargs != 0
            if optional and id(action) not in exclusive:
                assert "(default: " in action.help, action.option_strings


def ends(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(_: argparse.Namespace) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    "error", [ConfigError("a\nb"), OutputError("a\nb"), EvaluationError("a\nb")]
)
def test_a_user_error_is_one_line_and_status_2(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    assert console.guarded(ends(error), argparse.Namespace()) == 2
    assert capsys.readouterr().err == "error: a\\nb\n"


def test_a_command_returns_its_own_status() -> None:
    assert console.guarded(lambda _: 1, argparse.Namespace()) == 1


def test_ctrl_c_is_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.guarded(ends(KeyboardInterrupt()), argparse.Namespace(), "stopped") == 130
    assert capsys.readouterr().err == "stopped\n"


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        console.guarded(ends(ZeroDivisionError()), argparse.Namespace())


@pytest.mark.process
def test_a_closed_pipe_is_status_141() -> None:
    program = (
        "import argparse, itertools, sys\n"
        "from demixing import console\n"
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
