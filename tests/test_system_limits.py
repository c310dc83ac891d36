"""What the system may refuse, what is printed of texts from outside, and equal runs."""

import argparse
import errno
import logging
import os
import resource
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demixing import atomic
from demixing.audio import headers, ogg
from demixing.cli import console
from demixing.cli.main import main
from demixing.errors import OutputError, SongError
from demixing.printing import MOST_SHOWN, OneLine, one_line
from demixing.process import pool
from demixing.recipes import reading

ROOT = Path(__file__).parents[1]


# Memory, semaphores, standard output


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 12"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_lack_of_memory_is_one_sentence(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: argparse.Namespace) -> int:
        raise error

    assert console.guarded(run, argparse.Namespace()) == console.BAD_INPUT

    assert capsys.readouterr().err.startswith("error: there is too little memory; ")


def test_other_errors_of_these_kinds_are_bugs() -> None:
    def run(_: argparse.Namespace) -> int:
        raise RuntimeError("expected a tensor")

    with pytest.raises(RuntimeError):
        console.guarded(run, argparse.Namespace())


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [300, 800, 1200])
def test_a_limit_of_address_space_is_no_traceback(
    write_song: Callable[..., Path], tmp_path: Path, megabytes: int
) -> None:
    song = write_song("song.wav")

    done = subprocess.run(
        [sys.executable, "-m", "demixing", "separate", str(song), "-o", str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20,) * 2),
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 2)
    assert done.returncode or len(list((tmp_path / "out" / "song").iterdir())) == 4


def test_a_system_without_semaphores_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> ProcessPoolExecutor:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor", refuse)

    with pytest.raises(OutputError, match=r"cannot start worker processes: .* use --jobs 1"):
        pool.workers(2, print).__enter__()


@pytest.mark.process
def test_a_version_that_cannot_be_printed_is_one_sentence() -> None:
    done = subprocess.run(
        ["bash", "-c", '"$@" > /dev/full', "", sys.executable, "-m", "demixing", "--version"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr == "error: cannot write to standard output: No space left on device\n"


# Messages


@pytest.mark.parametrize("evil", ["\x1b[2J", "\x07", "\n", "\r", "\u202e", "\x9b", "\udcff", "\0"])
def test_no_control_character_is_printed(
    evil: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    console.complain(f"song{evil}.wav")
    assert main(["separate", f"no{evil}song".replace("\0", ""), "-q", "-o", str(tmp_path)]) == 2

    said = capsys.readouterr().err
    assert evil not in said.replace("\n", "") or evil == "\n"
    assert said.count("\n") == 2


def test_messages_have_a_bounded_length() -> None:
    shown = one_line("a" * 10**6 + "end")

    assert len(shown) < MOST_SHOWN + 10
    assert shown.endswith("aend")
    assert one_line("Björk, Jóga") == "Björk, Jóga"


def test_the_log_is_escaped_but_not_its_tracebacks() -> None:
    try:
        raise ValueError("x")
    except ValueError:
        record = logging.LogRecord("a", 30, "a.py", 1, "%s", ("song\x1b\n",), sys.exc_info())

    lines = OneLine("%(levelname)s: %(message)s").format(record).splitlines()

    assert lines[0] == "WARNING: song\\x1b\\n"
    assert lines[1] == "Traceback (most recent call last):"


# Names of files


@pytest.mark.parametrize("stem", ["../up", "/etc/x", "a/b", "..", "nul\0"])
def test_a_recipe_cannot_write_outside_the_output(stem: str, tmp_path: Path) -> None:
    recipe = tmp_path / "evil.toml"
    name = stem.encode("unicode_escape").decode().replace("\\x", "\\u00")
    recipe.write_text(
        f'stems = ["{name}"]\nsummary = "x"\n[[members]]\nseparator = "equal_shares"\n'
        f'outputs = {{ "{name}" = ["all"] }}\noptions = {{ stems = ["all"] }}\n'
    )

    with pytest.raises(Exception, match="names of files"):
        reading.load(str(recipe))


# Equal runs


def peak_time(path: Path) -> int:
    data = path.read_bytes()
    return int(struct.unpack_from("<I", data, data.index(b"PEAK") + 12)[0])


@pytest.mark.engine
def test_two_runs_write_the_same_bytes(write_song: Callable[..., Path], tmp_path: Path) -> None:
    song = str(write_song("song.wav"))
    written = []
    for name in ("a", "b"):
        out = tmp_path / name
        assert main(["separate", song, "-o", str(out), "--recipe", "mdx_equal_shares"]) == 0
        written.append({path.name: path.read_bytes() for path in (out / "song").iterdir()})
        time.sleep(1.1)

    assert written[0] == written[1]
    assert len(written[0]) == 4
    assert peak_time(tmp_path / "a" / "song" / "bass.wav") == 0


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "FLOAT"), ("WAVEX", "FLOAT")])
def test_only_the_time_of_the_peaks_is_cleared(tmp_path: Path, kind: str, subtype: str) -> None:
    path = tmp_path / "a.wav"
    samples = np.linspace(-1, 1, 999, dtype=np.float32)
    soundfile.write(path, samples, 44_100, subtype, format=kind)
    before = path.read_bytes()

    headers.clear_peak_time(path)

    after = path.read_bytes()
    at = before.index(b"PEAK") + 12
    assert after == before[:at] + bytes(4) + before[at + 4 :]
    assert np.array_equal(soundfile.read(path, dtype="float32")[0], samples)


@pytest.mark.parametrize("contents", [b"", b"RIFF", b"RIFF\0\0\0\0WAVEPEAK", b"fLaC" + bytes(99)])
def test_a_file_without_peaks_stays_as_it_is(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "a").write_bytes(contents)

    headers.clear_peak_time(tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == contents


# What killed runs leave


@pytest.mark.process
def test_what_a_killed_run_leaves_is_removed_by_the_next_one(
    write_song: Callable[..., Path], tmp_path: Path
) -> None:
    song = str(write_song("song.wav"))
    folder = tmp_path / "out" / "song"
    folder.mkdir(parents=True)
    program = (
        "import os, sys, pathlib\n"
        "from demixing import atomic\n"
        "with atomic.staging(pathlib.Path(sys.argv[1])) as stage:\n"
        "    (stage / 'bass.wav').write_text('half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], cwd=ROOT, check=False)
    assert len(list(folder.iterdir())) == 1

    assert main(["separate", song, "-o", str(folder.parent), "--recipe", "mdx_equal_shares"]) == 0

    assert sorted(path.name for path in folder.iterdir()) == [
        *("bass.wav", "drums.wav", "other.wav", "vocals.wav")
    ]


def test_a_file_that_is_created_is_new(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "a"
    victim.write_bytes(b"precious")
    for make in (path.symlink_to, path.hardlink_to):
        for write in (atomic.create, atomic.extend):
            make(victim)
            with write(path) as file:
                file.write(b"x")
            assert victim.read_bytes() == b"precious"
            assert path.read_bytes() == b"x"
            path.unlink()


def test_a_file_that_is_joined_from_thousands_is_refused(tmp_path: Path) -> None:
    pages = (
        b"OggS\0" + bytes([flags]) + struct.pack("<qIII", 1, 1, number, 0) + b"\0"
        for number, flags in enumerate((2, 4) * 1100)
    )
    (tmp_path / "a.ogg").write_bytes(b"".join(pages))

    with pytest.raises(SongError, match="it is joined from thousands"):
        ogg.parts(tmp_path / "a.ogg")
