"""Other programs end with the process that started them."""

import subprocess
import sys
from pathlib import Path

import pytest

from demixing.machine import programs
from tests.waiting import begun, until

PARENT = """
import sys
from demixing.machine import programs
programs.run(["sh", "-c", "echo $$ > pid.new && mv pid.new pid && exec sleep 600"],
             timeout_s=600, folder=sys.argv[1])
"""


def test_a_program_runs_in_a_folder_and_what_it_prints_is_returned(tmp_path: Path) -> None:
    done = programs.run(["sh", "-c", "pwd; echo bad >&2; exit 3"], timeout_s=60, folder=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (3, f"{tmp_path}\n", "bad\n")


def test_a_program_that_takes_too_long_is_ended() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        programs.run(["sleep", "600"], timeout_s=0.1)


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the children of a process")
def test_a_program_ends_if_its_parent_is_killed(tmp_path: Path) -> None:
    with begun([sys.executable, "-c", PARENT, str(tmp_path)]) as parent:
        until(lambda: parent.poll() is not None or (tmp_path / "pid").exists())
        program = Path("/proc", (tmp_path / "pid").read_text().strip())
        assert program.exists()
        parent.kill()
        parent.wait()

        until(lambda: not program.exists())
