"""The status that a child shares needs no disk, and a full disk does not kill the parent."""

import errno
import io
import os
import tempfile
from pathlib import Path
from typing import Any, NoReturn

import pytest

from demixing.process.status import NO_MEMBER, SharedStatus


class Full(io.FileIO):
    """A file on a full disk: it can be made longer, but not written to."""

    def write(self, _: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def refuse(*_: object) -> NoReturn:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def shared() -> None:
    """Make a status, and check that another map of its file shows its changes."""
    status, file = SharedStatus.make()
    with file:
        other = SharedStatus(file.fileno())

    assert (other.heartbeats, other.member) == (0, NO_MEMBER)
    status.heartbeats, status.member = 2**40, 7
    assert (other.heartbeats, other.member) == (2**40, 7)


def test_both_sides_see_the_same_status() -> None:
    shared()


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs files in memory")
def test_a_status_needs_no_writable_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")

    shared()


def test_without_files_in_memory_a_status_is_a_temporary_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delattr(os, "memfd_create", raising=False)
    shared()
    monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    shared()


def test_a_full_disk_is_an_error_and_no_signal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full = Full(tmp_path / "full", "w+")
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)

    with pytest.raises(OSError, match="No space left"):
        SharedStatus.make()

    assert full.closed
