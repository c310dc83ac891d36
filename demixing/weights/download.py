"""Downloads one file: resumes after interruptions, and never leaves a partial file under its name.

Only for ``demixing fetch``; separating never needs a network. Proxies come from the environment.
"""

import http.client
import os
import re
import ssl
import stat
import time
import urllib.error
import urllib.parse
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from demixing import atomic
from demixing.errors import CheckpointError
from demixing.printing import one_line
from demixing.weights import connection
from demixing.weights.connection import Deadline

Progress = Callable[[int, int | None], None]
"""Called with the bytes so far, and the total if the server reports it."""

BLOCK_BYTES = 1 << 20

MOST_BYTES = 16 << 30
"""Size of a file whose size is not registered, such as an archive."""

MOST_S = 24 * 3600.0
"""Time for a file, with all attempts."""

WINDOW_BYTES, WINDOW_S = 1 << 18, 60.0
"""A server that takes longer for so much is taken for broken, however many bytes it sends."""

LENGTH = re.compile(r"\d{1,15}")
RANGE = re.compile(r"bytes (\d{1,15})-\d{0,15}/(?:\d{1,15}|\*)")

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
    most_bytes: int = MOST_BYTES,
    progress: Progress = lambda done, total: None,
    pause_s: float = PAUSE_S,
) -> None:
    """Download a file, resuming where ``part`` ends.

    Args:
        url: of the file, http or https.
        part: file to write; an existing one is taken to be the beginning.
        most_bytes: size of the file, or a bound of it.
        progress: called as bytes arrive.
        pause_s: pause before the second attempt.

    Raises:
        CheckpointError: the server has no such file, or a larger one, or the connection breaks
            repeatedly, or all takes too long.
    """
    connection.checked_address(url)
    transfer = _Transfer(url, part, most_bytes, progress)
    failures, furthest, end = 0, transfer.size_bytes(), Deadline(MOST_S)
    while True:
        reason = transfer.attempt(end)
        if reason is None:
            return
        # A server that sends the same bytes again and again makes no progress.
        failures = 1 if transfer.furthest > furthest else failures + 1
        furthest = max(furthest, transfer.furthest)
        if failures >= ATTEMPTS:
            raise CheckpointError(
                f"cannot download {url} after {ATTEMPTS} attempts: {one_line(str(reason))}; run "
                "the command again to resume, or name a mirror or a folder with --from"
            )
        time.sleep(pause_s * 2 ** (failures - 1))


class _Transfer:
    """One file that is being downloaded.

    Attributes:
        furthest: most bytes that it had at any time.
    """

    def __init__(self, url: str, part: Path, most_bytes: int, progress: Progress) -> None:
        self._url = url
        self._part = part
        self._most_bytes = most_bytes
        self._progress = progress
        self._version = ""
        self.furthest = 0

    def size_bytes(self) -> int:
        """Bytes that have arrived."""
        try:
            status = self._part.lstat()
        except FileNotFoundError:
            return 0
        return status.st_size if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 else 0

    def attempt(self, end: Deadline) -> object | None:
        """Download the rest, until the connection breaks.

        Args:
            end: of all attempts.

        Returns:
            The problem, if another attempt may succeed; None if the file is complete.

        Raises:
            CheckpointError: another attempt would also fail.
        """
        try:
            return self._receive(end)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self.size_bytes():
                    self._restart()
                elif error.code < 500 and error.code != HTTPStatus.TOO_MANY_REQUESTS:
                    raise CheckpointError(
                        f"{self._url} returns {error.code} {one_line(str(error.reason))}"
                    ) from error
            return f"{error.code} {error.reason}"
        except BROKEN as error:
            return getattr(error, "reason", error) or type(error).__name__
        except OSError as error:  # writing would fail again
            raise CheckpointError(f"cannot write {self._part}: {error.strerror}") from error

    def _receive(self, end: Deadline) -> str | None:
        """Request the rest and write it; returns and raises like :meth:`attempt`."""
        start = self.size_bytes()
        headers = {"Range": f"bytes={start}-"} if start else {}
        with connection.answer(self._url, headers) as (response, deadline):
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
            elif not _begins_at(response.headers.get("Content-Range"), start):
                self._restart()
                return "the server sends another part of the file than was asked for"
            total = self._total(response, start)
            self._write(response, start, total, deadline, end)
        if total is not None and self.size_bytes() < total:
            return "the connection broke"
        return None

    def _total(self, response: http.client.HTTPResponse, start: int) -> int | None:
        """Size of the whole file by the head of an answer; None if it does not say it.

        Raises:
            CheckpointError: it is no number, or too large.
        """
        length = response.headers.get("Content-Length")
        if length is None:
            return None
        if not LENGTH.fullmatch(length.strip()):
            raise CheckpointError(f"{self._url} has no valid length: {length[:60]}")
        total = start + int(length)
        self._check_size(total)
        return total

    def _check_size(self, size_bytes: int) -> None:
        """Raise if the file is too large.

        Raises:
            CheckpointError: it is.
        """
        if size_bytes > self._most_bytes:
            self._restart()
            raise CheckpointError(
                f"{self._url} is larger than expected: {self._most_bytes} bytes; nothing was kept"
            )

    def _write(
        self,
        response: http.client.HTTPResponse,
        start: int,
        total: int | None,
        deadline: Deadline,
        end: Deadline,
    ) -> None:
        """Write the data as it arrives."""
        self._part.parent.mkdir(parents=True, exist_ok=True)
        with atomic.extend(self._part) if start else atomic.create(self._part) as file:
            done = counted = start
            deadline.extend(WINDOW_S)
            while block := response.read1(BLOCK_BYTES):
                self._check_size(done + len(block))
                done += file.write(block)
                self.furthest = max(self.furthest, done)
                if done - counted >= WINDOW_BYTES:
                    counted = done
                    deadline.extend(WINDOW_S)
                end.check()
                self._progress(done, total)

    def _restart(self) -> None:
        """Discard the data so far."""
        self._part.unlink(missing_ok=True)
        self._version = ""


def _begins_at(content_range: str | None, start: int) -> bool:
    """Whether a part of a file begins where the rest was asked for."""
    found = RANGE.fullmatch((content_range or "").strip())
    return found is not None and int(found[1]) == start
