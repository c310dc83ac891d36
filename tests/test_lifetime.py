"""A process ends with its parent; tests of the evaluation kill a parent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import until

ROOT = Path(__file__).parents[1]
PROGRAM = """
import sys
from demixing.machine.lifetime import die_with_parent
die_with_parent(int(sys.argv[1]))
print("alive")
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("parent", "status", "said"),
    [
        pytest.param(os.getpid(), 0, "alive\n", id="its parent"),
        pytest.param(os.getpid() + 1, 1, "", id="another process"),
    ],
)
def test_a_process_whose_parent_has_already_ended_ends_at_once(
    parent: int, status: int, said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(parent)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (status, said)


WATCHING = """
import os, subprocess, sys, time
from demixing.machine import lifetime
if len(sys.argv) == 1:
    child = subprocess.Popen([sys.executable, "-c", os.environ["WATCHING"], str(os.getpid())])
    time.sleep(60)
lifetime._signalled = lambda: False
lifetime.WATCH_S = 0.02
lifetime.die_with_parent(int(sys.argv[1]))
print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.mark.process
def test_without_a_signal_of_the_kernel_the_parent_is_watched() -> None:
    environment = {**os.environ, "WATCHING": WATCHING}
    parent = subprocess.Popen(
        [sys.executable, "-c", WATCHING],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())

        parent.kill()

        until(lambda: not Path("/proc", str(child), "cmdline").exists())
