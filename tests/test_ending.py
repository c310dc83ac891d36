"""The end of the program is quick, and leaves nothing out that anyone can notice."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PROGRAM = """
import atexit, sys, threading, time
from demixing.cli import ending

class Freed:
    def __del__(self):
        print("freed")

kept = Freed()

def late():
    time.sleep(0.2)
    print("thread")

def run():
    atexit.register(print, "registered")
    threading.Thread(target=late).start()
    sys.stdout.write("output ")
    {end}

ending.exit_with(run)
"""


def ended(end: str) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(end=end)
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.process
@pytest.mark.parametrize("status", [0, 2])
def test_output_threads_and_handlers_are_waited_for_and_objects_are_not_freed(status: int) -> None:
    done = ended(f"return {status}")

    assert done.returncode == status
    assert done.stdout.split() == ["output", "thread", "registered"]


@pytest.mark.process
def test_an_error_ends_the_program_as_python_does() -> None:
    done = ended("raise ValueError('odd')")

    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: odd\n")
    assert done.stdout.split() == ["output", "thread", "registered", "freed"]


BUFFERED = """
import logging, logging.handlers, sys
from demixing.cli import ending

target = logging.StreamHandler(sys.stdout)
logging.getLogger().addHandler(logging.handlers.MemoryHandler(100, target=target))
ending.exit_with(lambda: logging.warning("logged") or 3)
"""

CAUGHT = """
from demixing.cli import ending

try:
    ending.exit_with(lambda: 0)
except SystemExit:
    raise ValueError("later") from None
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("program", "status", "output"), [(BUFFERED, 3, "logged\n"), (CAUGHT, 1, "")]
)
def test_the_log_is_flushed_and_a_later_error_is_not_hidden(
    program: str, status: int, output: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (status, output)


@pytest.mark.process
def test_output_that_cannot_be_written_is_an_error() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(end="return 0")],
            cwd=ROOT,
            env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 120
