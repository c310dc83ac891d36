"""A process ends with its parent; tests of the evaluation kill a parent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
import sys
from demixing.process.lifetime import die_with_parent
die_with_parent(int(sys.argv[1]))
print("alive")
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("parent", "status", "said"), [(os.getpid(), 0, "alive\n"), (os.getpid() + 1, 1, "")]
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
