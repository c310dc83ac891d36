"""Downloads one file: goes on after a cut, and leaves nothing half done under its real name.

Only for ``python -m my_submission fetch``; predicting never needs a network. Proxies are those
that the environment names.
"""

import http.client
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
"""Is called with the bytes so far, and in all if the server says."""

BLOCK_BYTES = 1 << 20

TIMEOUT_S = 60.0
"""Of silence on the line."""

ATTEMPTS = 5
"""In a row without a single new byte."""

PAUSE_S = 1.0
"""Before the second attempt; twice as long before each next one."""

BROKEN = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)
"""What is raised if the line is cut, or the server is not to be found."""

AGENT = "sound-demixing"
"""Some servers refuse Python's own name."""


def download(
    url: str,
    part: Path,
    *,
    progress: Progress = lambda done, total: None,
    pause_s: float = PAUSE_S,
) -> None:
    """Download a file, going on where ``part`` ends.

    Args:
        url: of the file, http or https.
        part: where to write; what is there already is taken for the beginning.
        progress: called as bytes come.
        pause_s: before the second attempt.

    Raises:
        CheckpointError: the server has no such file, or the line is cut again and again.
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
                "to go on, or name a mirror or a folder with --from"
            )
        time.sleep(pause_s * 2 ** (failures - 1))


class _Transfer:
    """One file on its way."""

    def __init__(self, url: str, part: Path, progress: Progress) -> None:
        self._url = url
        self._part = part
        self._progress = progress
        self._version = ""

    def size_bytes(self) -> int:
        """How much is here."""
        return self._part.stat().st_size if self._part.exists() else 0

    def attempt(self) -> object | None:
        """Get what is missing, as long as the line holds.

        Returns:
            What went wrong and may go better the next time; None if all is here.

        Raises:
            CheckpointError: it will not go better.
        """
        try:
            return self._receive()
        except urllib.error.HTTPError as error:
            with error:
                if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self.size_bytes():
                    self._start_anew()
                elif error.code < 500 and error.code != HTTPStatus.TOO_MANY_REQUESTS:
                    raise CheckpointError(
                        f"{self._url} answers {error.code} {error.reason}"
                    ) from error
            return f"{error.code} {error.reason}"
        except BROKEN as error:
            return getattr(error, "reason", error) or type(error).__name__
        except OSError as error:  # what the disk refuses, it will refuse again
            raise CheckpointError(f"cannot write {self._part}: {error.strerror}") from error

    def _receive(self) -> str | None:
        """Ask for what is missing and write it; returns and raises as :meth:`attempt` explains."""
        start = self.size_bytes()
        request = urllib.request.Request(self._url, headers={"User-Agent": AGENT})
        if start:
            request.add_header("Range", f"bytes={start}-")
        # An opener of its own: the shared one keeps the proxies of its first use.
        with urllib.request.build_opener().open(request, timeout=TIMEOUT_S) as response:
            if response.headers.get_content_type() == "text/html":
                raise CheckpointError(
                    f"{self._url} answers with a page in place of the file; open it in a browser, "
                    "save the file, and run the command again with --from and its folder"
                )
            version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
            if start and self._version and version != self._version:
                self._start_anew()
                return "the file changed while it was downloaded"
            self._version = version
            if response.status != HTTPStatus.PARTIAL_CONTENT:
                start = 0  # the server sends all of it
            length = response.headers.get("Content-Length")
            total = start + int(length) if length else None
            self._write(response, start, total)
        if total is not None and self.size_bytes() < total:
            return "the line was cut"
        return None

    def _write(self, response: http.client.HTTPResponse, start: int, total: int | None) -> None:
        """Write what comes."""
        self._part.parent.mkdir(parents=True, exist_ok=True)
        with self._part.open("ab" if start else "wb") as file:
            done = start
            while block := response.read1(BLOCK_BYTES):
                done += file.write(block)
                self._progress(done, total)

    def _start_anew(self) -> None:
        """Drop what is here."""
        self._part.unlink(missing_ok=True)
        self._version = ""
