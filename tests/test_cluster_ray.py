"""Batches on a Ray cluster of two nodes, one of which is killed."""

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from demixing.cli.main import main
from demixing.cluster import processes
from tests import ray_cluster
from tests.inline_engine import Inline
from tests.waiting import ROOT, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.process,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]

SONGS = 12
RATE_HZ = 44_100
RECIPE = ("--recipe", "mdx_filters", "--format", "flac", "--bits", "16")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_killed_node_loses_no_song_and_changes_no_byte(
    tmp_path: Path, write_song: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(SONGS):
        write_song(f"songs/{number}.wav", samples=2 * RATE_HZ, sample_rate_hz=RATE_HZ)
    songs, done = tmp_path / "songs", tmp_path / "two" / ".batch" / "done"

    with ray_cluster.cluster() as cluster:
        words = ["batch", "separate", str(songs), "-o", str(tmp_path / "two"), *RECIPE]
        words += ["--ray", cluster.address, "--verbose"]
        with (tmp_path / "log").open("wb") as log_file:
            driver = subprocess.Popen(
                [sys.executable, "-m", "demixing", *words],
                env=cluster.environment,
                stdout=subprocess.PIPE,
                stderr=log_file,
            )
        until(lambda: driver.poll() is not None or halfway(tmp_path / "log", done), 300)
        at_kill = len(list(done.glob("*.json")))
        cluster.kill_second()
        said, _ = driver.communicate(timeout=600)
    log = (tmp_path / "log").read_text()

    assert driver.returncode == 0, log
    assert 2 <= at_kill < SONGS
    assert "was lost" in log
    assert sorted(said.decode().split()) == sorted(
        str(tmp_path / "two" / str(number)) for number in range(SONGS)
    )
    monkeypatch.setattr(processes, "Processes", Inline)
    assert main(["batch", "separate", str(songs), "-o", str(tmp_path / "one"), *RECIPE, "-q"]) == 0
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def halfway(log: Path, done: Path) -> bool:
    """Whether both workers are at work, and songs were finished."""
    ready = log.read_text().count("is ready")
    return ready == 2 and len(list(done.glob("*.json"))) >= 2


def test_a_local_cluster_is_private_and_another_version_on_a_machine_ends_the_run(
    tmp_path: Path, write_song: Callable[..., Path]
) -> None:
    write_song("songs/a.wav", samples=400)
    words = ["batch", "separate", str(tmp_path / "songs"), "-o", str(tmp_path / "out"), *RECIPE]
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    done = subprocess.run(
        [sys.executable, str(program), *words, "--ray", "local", "--quiet"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=ray_cluster.START_S,
        check=False,
    )

    assert done.returncode == 2, done.stderr
    assert "on all interfaces: []" in done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"error: the machine {socket.gethostname()!r} of the Ray cluster has ")
    assert said.endswith("torch 0.1: install the same on both, then run the same command again")


PROGRAM = """
import os
import sys

from demixing.cli.main import main
from demixing.cluster import on_ray
from tests.ray_cluster import open_ports


class Older(on_ray.Actors):
    def __init__(self, *given):
        super().__init__(*given)
        self._facts = {**self._facts, "torch": "0.1"}
        print("on all interfaces:", open_ports(os.getpid()), flush=True)


on_ray.Actors = Older
sys.exit(main(sys.argv[1:]))
"""


def test_a_wrong_address_is_one_sentence(
    write_song: Callable[..., Path], out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"127.0.0.1:{ray_cluster.free_port()}"
    words = ["batch", "separate", str(write_song("songs/a.wav").parent), "-o", str(out), *RECIPE]

    assert main([*words, "--ray", address]) == 2

    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: cannot connect to a Ray cluster at '{address}'")
