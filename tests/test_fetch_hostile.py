"""Servers that lie, drip or never end: one sentence each, in bounded time and memory."""

import http.client
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demixing.cli import fetch as command
from demixing.cli.main import main
from demixing.errors import CheckpointError
from demixing.weights import connection, download
from demixing.weights.installer import Installer
from tests.test_fetch import CONTENTS, entry, everything

Reply = Callable[[int, bytes], Iterator[bytes]]
"""Pieces of an answer, by the number of the request and the request itself."""

HEAD = b"HTTP/1.1 200 OK\r\n"


class Server:
    """Sends whatever a function yields, and closes the connection."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.sent = 0
        self.requests = 0
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for number in itertools.count():
            try:
                connected, _ = self._listening.accept()
            except OSError:
                return
            self.requests += 1
            threading.Thread(target=self._answer, args=(connected, number), daemon=True).start()

    def _answer(self, connected: socket.socket, number: int) -> None:
        with connected:
            try:
                for piece in self._reply(number, connected.recv(10_000)):
                    connected.sendall(piece)
                    self.sent += len(piece)
            except OSError:
                return

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Reply], Server]]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(connection, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(download, "WINDOW_S", 0.5)
    started = []

    def start(reply: Reply) -> Server:
        started.append(Server(reply))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def refused(server: Server, **changes: object) -> str:
    """Install a file from a server; return the sentence."""
    registered = {"size_bytes": len(CONTENTS), **changes}
    wanted = entry(url=f"http://127.0.0.1:{server.port}/a.th", **registered)
    with pytest.raises(CheckpointError) as caught:
        Installer(pause_s=0.001).install(wanted)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def forever(*pieces: bytes, begin: bytes = b"", pause_s: float = 0.0) -> Reply:
    def reply(number: int, request: bytes) -> Iterator[bytes]:
        yield begin
        for piece in itertools.cycle(pieces):
            time.sleep(pause_s)
            yield piece

    return reply


def once(*pieces: bytes) -> Reply:
    return lambda number, request: iter(pieces)


ENDLESS = {
    "a body beyond the registered size": forever(bytes(1 << 16), begin=HEAD + b"\r\n"),
    "a body in chunks": forever(
        b"10000\r\n" + bytes(1 << 16) + b"\r\n",
        begin=HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
    ),
    "a body that drips": forever(b"a", begin=HEAD + b"\r\n", pause_s=0.02),
    "100 Continue": forever(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a head that drips": forever(b"a", begin=HEAD + b"X: ", pause_s=0.02),
    "a page beside a redirection": forever(
        bytes(1 << 16), begin=b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n"
    ),
    "redirections": once(b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n"),
    "trailers": forever(
        b"X: a\r\n", begin=HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", pause_s=0.001
    ),
}


@pytest.mark.process
@pytest.mark.parametrize("reply", ENDLESS.values(), ids=ENDLESS)
def test_what_never_ends_is_ended(
    serve: Callable[[Reply], Server], weights: Path, reply: Reply
) -> None:
    server = serve(reply)

    refused(server)

    assert server.sent < 50_000_000
    assert server.requests <= 20
    assert not (weights / "a.th").exists()


def test_a_file_of_unknown_size_has_a_limit(
    serve: Callable[[Reply], Server], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demixing.weights.installer.MOST_BYTES", 1_000_000)
    server = serve(ENDLESS["a body beyond the registered size"])

    said = refused(server, sha256="", size_bytes=None)

    assert "is larger than expected: 1000000 bytes" in said
    assert everything(weights) == []


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"Content-Length: abc\r\n", "has no valid length: abc"),
        (b"Content-Length: " + b"9" * 5000 + b"\r\n", "has no valid length: 9999"),
        (b"Content-Length: -5\r\n", "has no valid length: -5"),
        (b"Content-Length: 999999999999\r\n", "is larger than expected"),
    ],
)
def test_a_length_that_is_none_is_refused(
    serve: Callable[[Reply], Server], weights: Path, head: bytes, reason: str
) -> None:
    server = serve(once(HEAD + head + b"\r\n" + CONTENTS))

    assert reason in refused(server)
    assert server.requests == 1
    assert everything(weights) == []


@pytest.mark.parametrize(
    "target",
    [
        "http://[::1/x",
        "http://" + "a" * 300 + "/x",
        "file:///etc/hostname",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://a b/",
        "/" + "a" * 20_000,
    ],
)
def test_a_redirection_to_no_address_is_one_sentence(
    serve: Callable[[Reply], Server], weights: Path, target: str
) -> None:
    server = serve(once(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\n\r\n".encode()))

    assert len(refused(server)) < 1000
    assert server.requests <= 1 + download.ATTEMPTS


def test_a_redirection_must_not_leave_https() -> None:
    with pytest.raises(CheckpointError, match="redirects from https to http://b/"):
        connection._redirected("https://a/x", "http://b/y")


def test_a_part_that_is_refused_again_and_again_ends(
    serve: Callable[[Reply], Server], weights: Path
) -> None:
    def reply(number: int, request: bytes) -> Iterator[bytes]:
        if b"Range:" in request:
            yield b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n"
        else:
            yield HEAD + b"Content-Length: %d\r\n\r\n" % len(CONTENTS) + CONTENTS[:1000]

    server = serve(reply)

    refused(server)

    assert server.requests <= 2 * download.ATTEMPTS


def test_another_part_than_was_asked_for_is_dropped(
    serve: Callable[[Reply], Server], weights: Path
) -> None:
    def reply(number: int, request: bytes) -> Iterator[bytes]:
        if b"Range:" in request:
            begin = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/9\r\n"
            yield begin + b"Content-Length: %d\r\n\r\n" % (len(CONTENTS) - 1000) + CONTENTS[1000:]
        else:
            sent = CONTENTS if number > 1 else CONTENTS[:1000]
            yield HEAD + b"Content-Length: %d\r\n\r\n" % len(CONTENTS) + sent

    server = serve(reply)
    wanted = entry(url=f"http://127.0.0.1:{server.port}/a.th", sha256="")

    path = Installer(pause_s=0.001).install(wanted)

    assert path.read_bytes() == CONTENTS
    assert server.requests == 3


def test_what_a_server_says_is_escaped(
    serve: Callable[[Reply], Server],
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = serve(once(b"HTTP/1.1 404 \x1b[2J\x1b]0;owned\x07" + b"a" * 30_000 + b"\r\n\r\n"))
    wanted = entry(url=f"http://127.0.0.1:{server.port}/a.th")
    monkeypatch.setattr(command, "entries", lambda: {wanted.name: wanted})

    assert main(["fetch", wanted.name]) == 2

    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "returns 404 \\x1b[2J" in said
    assert len(said) < 3000


@pytest.mark.parametrize("status", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_not_http_is_one_sentence(
    serve: Callable[[Reply], Server], weights: Path, status: bytes
) -> None:
    refused(serve(once(status)))


# Links in place of files


def test_a_link_with_the_name_of_a_part_is_not_followed(
    serve: Callable[[Reply], Server], weights: Path, tmp_path: Path
) -> None:
    server = serve(once(HEAD + b"\r\n" + CONTENTS))
    victim = tmp_path / "victim"
    for make in (Path.symlink_to, Path.hardlink_to):
        victim.write_bytes(b"precious")
        weights.mkdir(exist_ok=True)
        make(weights / ".unfinished-a.th", victim)

        path = Installer().install(entry(url=f"http://127.0.0.1:{server.port}/a.th"))

        assert path.read_bytes() == CONTENTS
        assert victim.read_bytes() == b"precious"
        path.unlink()


def test_a_pipe_with_the_name_of_a_part_is_not_waited_for(
    serve: Callable[[Reply], Server], weights: Path
) -> None:
    server = serve(once(HEAD + b"\r\n" + CONTENTS))
    weights.mkdir()
    os.mkfifo(weights / ".unfinished-a.th")

    path = Installer().install(entry(url=f"http://127.0.0.1:{server.port}/a.th"))

    assert path.read_bytes() == CONTENTS


def test_http_client_has_what_is_replaced() -> None:
    """The deadline depends on how the standard library makes responses."""
    assert hasattr(http.client.HTTPConnection, "response_class")
