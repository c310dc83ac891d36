"""Downloads one file: resumes after interruptions, and never leaves a partial file under its name.

Only for ``demixing fetch``; separating never needs a network. Proxies come from the environment.
"""

import http.client
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from demixing.errors import CheckpointError

Progress = Callable[[int, int | None], None]
"""Called with the bytes so far, and the total if the server reports it."""

BLOCK_BYTES = 1 << 20

TIMEOUT_S = 60.0
"""Time without a byte from the server."""

ATTEMPTS = 5
"""Attempts in a row without a new byte."""

PAUSE_S = 1.0
"""Pause before the second attempt; doubled before each further one."""

BROKEN = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)
"""Errors raised if the connection breaks or the server is not found."""

AGENT = "sound-demixing"
"""Some servers reject Python's default."""

HUB = "hf:"
"""Start of addresses on the Hugging Face Hub: ``hf:OWNER/REPO/PATH``."""

HUB_VARIABLE = "HF_ENDPOINT"
"""Environment variable: address of the Hub or of a mirror of it, as for the Hub's own tools."""

HUB_ENDPOINT = "https://huggingface.co"


def resolved(address: str) -> str:
    """Return the URL of an address, which may be short for a file on the Hugging Face Hub.

    Raises:
        CheckpointError: the address is incomplete.
    """
    if not address.startswith(HUB):
        return address
    owner, _, rest = address.removeprefix(HUB).partition("/")
    repository, _, path = rest.partition("/")
    if not (owner and repository and path):
        raise CheckpointError(f"expected {HUB}OWNER/REPO/PATH, got {address}")
    endpoint = (os.environ.get(HUB_VARIABLE) or HUB_ENDPOINT).rstrip("/")
    return f"{endpoint}/{owner}/{repository}/resolve/main/{urllib.parse.quote(path)}"


def download(
    url: str,
    part: Path,
    *,
    progress: Progress = lambda done, total: None,
    pause_s: float = PAUSE_S,
) -> None:
    """Download a file, resuming where ``part`` ends.

    Args:
        url: of the file, http or https.
        part: file to write; an existing one is taken to be the beginning.
        progress: called as bytes arrive.
        pause_s: pause before the second attempt.

    Raises:
        CheckpointError: the server has no such file, or the connection breaks repeatedly.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise CheckpointError(f"expected an address with http or https, got {url}")
    transfer = _Transfer(url, part, progress)
    failures = 0
    while True:
        before = transfer.size_bytes()
        reason = transfer.attempt()
        if reason is None:
            return
        failures = 1 if transfer.size_bytes() > before else failures + 1
        if failures >= ATTEMPTS:
            raise CheckpointError(
                f"cannot download {url} after {ATTEMPTS} attempts: {reason}; run the command again "
                "to resume, or name a mirror or a folder with --from"
            )
        time.sleep(pause_s * 2 ** (failures - 1))


class _Transfer:
    """One file that is being downloaded."""

    def __init__(self, url: str, part: Path, progress: Progress) -> None:
        self._url = url
        self._part = part
        self._progress = progress
        self._version = ""

    def size_bytes(self) -> int:
        """Bytes that have arrived."""
        return self._part.stat().st_size if self._part.exists() else 0

    def attempt(self) -> object | None:
        """Download the rest, until the connection breaks.

        Returns:
            The problem, if another attempt may succeed; None if the file is complete.

        Raises:
            CheckpointError: another attempt would also fail.
        """
        try:
            return self._receive()
        except urllib.error.HTTPError as error:
            with error:
                if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self.size_bytes():
                    self._restart()
                elif error.code < 500 and error.code != HTTPStatus.TOO_MANY_REQUESTS:
                    raise CheckpointError(
                        f"{self._url} returns {error.code} {error.reason}"
                    ) from error
            return f"{error.code} {error.reason}"
        except BROKEN as error:
            return getattr(error, "reason", error) or type(error).__name__
        except OSError as error:  # writing would fail again
            raise CheckpointError(f"cannot write {self._part}: {error.strerror}") from error

    def _receive(self) -> str | None:
        """Request the rest and write it; returns and raises like :meth:`attempt`."""
        start = self.size_bytes()
        request = urllib.request.Request(self._url, headers={"User-Agent": AGENT})
        if start:
            request.add_header("Range", f"bytes={start}-")
        # A new opener: the shared one keeps the proxies from its first use.
        with urllib.request.build_opener().open(request, timeout=TIMEOUT_S) as response:
            if response.headers.get_content_type() == "text/html":
                raise CheckpointError(
                    f"{self._url} returns a web page instead of the file; open it in a browser, "
                    "save the file, and run the command again with --from and its folder"
                )
            version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
            if start and self._version and version != self._version:
                self._restart()
                return "the file changed while it was downloaded"
            self._version = version
            if response.status != HTTPStatus.PARTIAL_CONTENT:
                start = 0  # the server sends all of it
            length = response.headers.get("Content-Length")
            total = start + int(length) if length else None
            self._write(response, start, total)
        if total is not None and self.size_bytes() < total:
            return "the connection broke"
        return None

    def _write(self, response: http.client.HTTPResponse, start: int, total: int | None) -> None:
        """Write the data as it arrives."""
        self._part.parent.mkdir(parents=True, exist_ok=True)
        with self._part.open("ab" if start else "wb") as file:
            done = start
            while block := response.read1(BLOCK_BYTES):
                done += file.write(block)
                self._progress(done, total)

    def _restart(self) -> None:
        """Discard the data so far."""
        self._part.unlink(missing_ok=True)
        self._version = ""
