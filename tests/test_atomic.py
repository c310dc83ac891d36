"""Files and folders appear whole or not at all."""

import multiprocessing
import sys
import tempfile
from pathlib import Path

import pytest

from demixing import atomic


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"

    with atomic.file(target, durable=True) as unfinished:
        unfinished.write_text("whole")
        assert not target.exists()

    assert target.read_text() == "whole"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write_half() -> None:
        with atomic.file(target) as unfinished:
            unfinished.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()

    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_an_error_leaves_no_folder(tmp_path: Path) -> None:
    def write_half() -> None:
        with atomic.folder(tmp_path / "song") as unfinished:
            (unfinished / "bass.wav").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()

    assert names(tmp_path) == []


def test_a_folder_appears_with_its_files_and_others_may_read_it(tmp_path: Path) -> None:
    with atomic.folder(tmp_path / "song") as unfinished:
        (unfinished / "bass.wav").write_text("whole")

    assert names(tmp_path) == ["song"]
    assert (tmp_path / "song" / "bass.wav").read_text() == "whole"
    assert (tmp_path / "song").stat().st_mode & 0o777 == 0o755


def test_a_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")

    atomic.write_text(tmp_path / "a.txt", "text")

    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / ("n" * 255), "text")

    assert (tmp_path / ("n" * 255)).read_text() == "text"


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    inner = tmp_path / "song"
    for folder in (tmp_path, inner):
        folder.mkdir(exist_ok=True)
        (folder / ".unfinished-x").mkdir()
        (folder / ".unfinished-x" / "half").write_text("")
    atomic.resumable(tmp_path / "a.th").write_text("half")

    atomic.clear(tmp_path)
    assert names(tmp_path) == ["song"]
    assert names(inner) == [".unfinished-x"]

    atomic.clear(tmp_path, recursive=True)
    assert names(inner) == []


def test_the_next_that_is_written_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    (tmp_path / ".unfinished-x").mkdir()
    (tmp_path / ".unfinished-x" / "half").write_text("")
    atomic.resumable(tmp_path / "a.th").write_text("half")

    with atomic.staging(tmp_path) as ours:
        atomic.write_text(tmp_path / "a.txt", "whole")
        assert names(tmp_path) == sorted([ours.name, ".unfinished-a.th", "a.txt"])

    assert names(tmp_path) == [".unfinished-a.th", "a.txt"]


def test_a_scratch_folder_of_a_killed_process_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / ".unfinished-x").mkdir()

    with atomic.scratch() as folder:
        assert names(tmp_path) == [folder.name]

    assert names(tmp_path) == []


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="needs forks and locks")
def test_a_fork_does_not_keep_the_lock_of_its_parent(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    started, ending = context.Event(), context.Event()
    lock = atomic.locked(tmp_path)

    def wait() -> None:
        started.set()
        ending.wait()

    fork = context.Process(target=wait, daemon=True)
    fork.start()
    started.wait()

    try:
        with pytest.raises(BlockingIOError):
            atomic.locked(tmp_path)
        atomic.unlock(lock)
        again = atomic.locked(tmp_path)
    finally:
        ending.set()
        fork.join()

    assert again is not None
    atomic.unlock(again)
