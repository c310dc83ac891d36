"""Songs from standard input, FIFOs and process substitution are separated like files."""

import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demixing.audio import spooling
from demixing.audio.files import song_format
from demixing.audio.spooling import seekable
from demixing.errors import SongError

WriteSong = Callable[..., Path]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@contextmanager
def pipe(path: Path, data: bytes) -> Iterator[Path]:
    """A FIFO that gives some bytes."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(data,))
    writer.start()
    yield path
    writer.join()


def test_a_file_is_read_where_it_is(write_song: WriteSong) -> None:
    song = write_song()

    with seekable(song) as path:
        assert path == song


def test_a_pipe_can_be_read_twice_and_nothing_is_left(
    tmp_path: Path, write_song: WriteSong, temporary: Path
) -> None:
    data = write_song(samples=50_000).read_bytes()

    with pipe(tmp_path / "fifo", data) as fifo, seekable(fifo) as path:
        assert path.read_bytes() == data
        assert path.read_bytes() == data
        assert song_format(path).frames == 50_000
        assert not list(temporary.iterdir()), "it has a name, so a killed process would leave it"


def test_without_proc_the_copy_has_a_name_and_is_removed(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "OPEN_FILES", tmp_path / "missing")

    with pipe(tmp_path / "fifo", b"song") as fifo, seekable(fifo) as path:
        assert path.parent == temporary
        assert path.read_bytes() == b"song"

    assert not list(temporary.iterdir())


def test_errors_name_the_pipe(tmp_path: Path, temporary: Path) -> None:
    with (
        pipe(tmp_path / "fifo", b"no audio at all" * 10) as fifo,
        pytest.raises(SongError, match=r"audio at .*/fifo, but its format is not recognised"),
        seekable(fifo) as path,
    ):
        song_format(path)


def test_an_empty_pipe_is_refused(tmp_path: Path, temporary: Path) -> None:
    with (
        pipe(tmp_path / "fifo", b"") as fifo,
        pytest.raises(SongError, match="fifo, got nothing"),
        seekable(fifo),
    ):
        pytest.fail("there is nothing to read")


def test_a_pipe_without_end_does_not_fill_the_disk(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "MOST_SHARE", 0)

    with (
        pytest.raises(SongError, match=r"half of the free space of .*, got more than 0 bytes"),
        seekable(Path("/dev/zero")),
    ):
        pytest.fail("it has no end")

    assert not list(temporary.iterdir())


def test_a_pipe_is_refused_where_it_cannot_be_copied(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(SongError, match="cannot be read twice; copy it to a file first"):
        song_format(tmp_path / "fifo")


def test_a_terminal_is_refused() -> None:
    primary, secondary = os.openpty()
    path = Path(os.ttyname(secondary))
    assert stat.S_ISCHR(path.stat().st_mode)

    with pytest.raises(SongError, match="got a terminal; name a file"), seekable(path):
        pytest.fail("a terminal must not be read")

    os.close(primary)
    os.close(secondary)


@pytest.mark.process
@pytest.mark.parametrize("redirect", ["- < <(cat song.wav)", "<(cat song.wav)"])
def test_the_command_reads_what_the_shell_gives(
    redirect: str, tmp_path: Path, write_song: WriteSong
) -> None:
    audio, _ = soundfile.read(write_song(samples=5000, subtype="FLOAT"))
    command = f"{sys.executable} -m demixing separate --quiet --recipe mdx_equal_shares -o out"

    done = subprocess.run(
        ["bash", "-c", f"{command} {redirect}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert len(paths) == 4
    if redirect.startswith("-"):
        assert paths[0].parent == Path("out/stdin")
    stems = [soundfile.read(tmp_path / path)[0] for path in paths]
    np.testing.assert_allclose(sum(stems), audio, atol=1e-6)
