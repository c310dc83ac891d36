"""Two runs never share an output folder."""

import errno
import sys
from pathlib import Path

import pytest

from demixing import atomic
from demixing.errors import EvaluationError
from demixing.evaluation import output_lock
from tests.waiting import begun, until

HOLDER = """
import sys, time
from pathlib import Path
from demixing.evaluation import output_lock
with output_lock.held(Path(sys.argv[1])):
    Path(sys.argv[1], "held").touch()
    time.sleep(10**6)
"""


def test_a_folder_is_made_and_held_until_the_block_ends(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with output_lock.held(folder):
        assert not list(folder.iterdir())
        with (
            pytest.raises(EvaluationError, match=r"another run is at work in '.*b'; wait for it"),
            output_lock.held(folder),
        ):
            pass
        with output_lock.held(tmp_path / "a"):
            pass

    with output_lock.held(folder):
        pass


@pytest.mark.process
def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with begun([sys.executable, "-c", HOLDER, tmp_path / "out"]) as process:
        until((tmp_path / "out" / "held").exists)
        with pytest.raises(EvaluationError, match="at work"), output_lock.held(tmp_path / "out"):
            pass

        process.kill()
        process.wait()

        with output_lock.held(tmp_path / "out"):
            pass


def test_a_file_system_without_locks_is_used_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def missing(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", missing)
        with output_lock.held(tmp_path), output_lock.held(tmp_path):
            pass
    monkeypatch.setattr(atomic, "fcntl", None)
    with output_lock.held(tmp_path), output_lock.held(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(EvaluationError, match=r"cannot write to .*choose another --output"),
        output_lock.held(tmp_path / "file" / "out"),
    ):
        pass
