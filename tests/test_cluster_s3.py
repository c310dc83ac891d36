"""Batches from and to a server that speaks S3's protocol."""

import contextlib
import importlib.util
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demixing.cli.main import main
from demixing.cluster import addresses, processes
from tests.inline_engine import Inline
from tests.ray_cluster import free_port
from tests.waiting import ROOT, until

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("s3fs", "moto"))), reason="no S3 client or server"
    ),
]

RECIPE = ("--recipe", "mdx_equal_shares", "--quiet", "--format", "flac")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server."""
    address = f"http://127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    program = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=quiet, stderr=quiet
    ) as process:
        try:
            until(lambda: answers(address))
            yield address
        finally:
            process.kill()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty bucket."""
    import s3fs

    monkeypatch.setattr(processes, "Processes", Inline)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with urllib.request.urlopen(f"{server}/moto-api/reset", data=b""):
        s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("music")
    return "s3://music"


def upload(folder: Path, address: str) -> None:
    system, path = addresses.opened(address)
    system.put(str(folder), path, recursive=True)


def contents(address: str) -> dict[str, bytes]:
    """All files below an address, also hidden ones."""
    system, root = addresses.opened(address)
    return {path.removeprefix(f"{root}/"): system.cat_file(path) for path in system.find(root)}


def batch(*words: str) -> int:
    return main(["batch", *words])


@pytest.fixture
def songs(tmp_path: Path, write_song: Callable[..., Path]) -> Path:
    for number in range(9):
        write_song(f"songs/album {number % 2}/sóng+{number}.wav", samples=400)
    return tmp_path / "songs"


def test_seven_shards_on_a_store_are_one_run_on_a_disk(
    songs: Path, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upload(songs, f"{bucket}/in")
    batch("separate", str(songs), "-o", str(tmp_path / "one"), *RECIPE)
    capsys.readouterr()

    printed = []
    for index in range(7):
        shard = ["--shard", f"{index}/7"]
        assert batch("separate", f"{bucket}/in", "-o", f"{bucket}/out", *shard, *RECIPE) == 0
        printed += capsys.readouterr().out.splitlines()
    assert batch("manifest", f"{bucket}/out") == 0

    names = [f"album {number % 2}/sóng+{number}" for number in range(9)]
    assert sorted(printed) == sorted(f"{bucket}/out/{name}" for name in names)
    found, expected = contents(f"{bucket}/out"), contents(str(tmp_path / "one"))
    assert found.keys() == expected.keys()
    assert stems(found) == stems(expected)
    assert found["manifest.jsonl"].count(b'"status":"done"') == 9


def stems(files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: text for path, text in files.items() if path.endswith(".flac")}


def test_what_is_done_is_skipped_and_what_is_lost_is_done_again(
    songs: Path, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["separate", str(songs), "-o", f"{bucket}/out", *RECIPE]
    assert batch(*words) == 0
    before = contents(f"{bucket}/out")
    addresses.remove(f"{bucket}/out/album 0/sóng+4/bass.flac")
    capsys.readouterr()

    assert batch(*words) == 0

    assert capsys.readouterr().out.splitlines() == [f"{bucket}/out/album 0/sóng+4"]
    assert contents(f"{bucket}/out") == before


def test_scores_need_no_copy_on_this_machine(data: Path, bucket: str, tmp_path: Path) -> None:
    upload(data, f"{bucket}/data")
    (tmp_path / "list.txt").write_text(
        "".join(f"{bucket}/data/{song}/vocals.wav\t{song}\n" for song in "ab")
    )
    wav = [*RECIPE, "--format", "wav"]
    assert batch("separate", str(tmp_path / "list.txt"), "-o", f"{bucket}/stems", *wav) == 0
    words = ["score", f"{bucket}/data", "--estimates", f"{bucket}/stems", "-q"]

    assert batch(*words, "-o", f"{bucket}/scores") == 0
    assert batch(*words, "-o", str(tmp_path / "scores")) == 0

    local = (tmp_path / "scores" / "a" / "scores.json").read_bytes()
    assert contents(f"{bucket}/scores")["a/scores.json"] == local


def test_a_song_that_is_too_large_fails(
    songs: Path, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    upload(songs, f"{bucket}/in")
    words = ["separate", f"{bucket}/in", "-o", f"{bucket}/out", *RECIPE, "--most-gb", "0.000001"]

    assert batch(*words) == 1

    assert capsys.readouterr().err.count("raise --most-gb") == 9


def test_repeats_of_the_client_do_not_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = list[int]()

        def close_each() -> None:
            with contextlib.suppress(OSError):  # the end of the server
                while True:
                    server.accept()[0].close()
                    closed.append(1)

        threading.Thread(target=close_each, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        s3fs = pytest.importorskip("s3fs")
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(addresses.StoreError):
            addresses.read("s3://bucket/a", 1)
        s3fs.S3FileSystem.clear_instance_cache()
        server.shutdown(socket.SHUT_RDWR)

    assert 1 <= sum(closed) <= 2  # with those of s3fs, 25 and more


def test_a_bucket_that_does_not_exist_is_one_sentence(
    bucket: str, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert batch("separate", "s3://no-such-bucket/in", "-o", str(out), *RECIPE) == 2

    assert len(capsys.readouterr().err.splitlines()) == 1
