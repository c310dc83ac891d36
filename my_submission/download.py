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

from my_submission.errors import CheckpointError

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


class ChangedError(Exception):
    """The file on the server is not the one whose first part we have."""


def download(
    url: str,
    part: Path,
    *,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    pause_s: float = PAUSE_S,
) -> None:
    """Download a file, going on where ``part`` ends.

    Args:
        url: of the file, http or https.
        part: where to write; what is there already is taken for the beginning.
        progress: called with the bytes so far and in all, if the server says.
        pause_s: before the second attempt.

    Raises:
        CheckpointError: the server has no such file, or the line is cut again and again.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise CheckpointError(f"expected an address with http or https, got {url}")
    validator, failures = "", 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            validator = _attempt(url, part, validator, progress)
            return
        except ChangedError:
            part.unlink(missing_ok=True)
            validator = ""
            reason: object = "the file changed while it was downloaded"
        except urllib.error.HTTPError as error:
            with error:
                if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and before:
                    part.unlink(missing_ok=True)
                elif error.code < 500 and error.code != HTTPStatus.TOO_MANY_REQUESTS:
                    raise CheckpointError(f"{url} answers {error.code} {error.reason}") from error
            reason = f"{error.code} {error.reason}"
        except BROKEN as error:
            reason = getattr(error, "reason", error) or type(error).__name__
        except OSError as error:  # what the disk refuses, it will refuse again
            raise CheckpointError(f"cannot write {part}: {error.strerror}") from error
        gained = part.exists() and part.stat().st_size > before
        failures = 1 if gained else failures + 1
        if failures >= ATTEMPTS:
            raise CheckpointError(
                f"cannot download {url} after {ATTEMPTS} attempts: {reason}; run the command again "
                "to go on, or name a mirror or a folder with --from"
            )
        time.sleep(pause_s * 2 ** (failures - 1))


def _attempt(
    url: str, part: Path, validator: str, progress: Callable[[int, int | None], None]
) -> str:
    """Ask for what is missing and write it, as long as the line holds.

    Returns:
        What the server calls this version of the file.

    Raises:
        ChangedError: the server has another version now.
        Exception: of urllib's, or of the disk's.
    """
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": AGENT})
    if start:
        request.add_header("Range", f"bytes={start}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        if response.headers.get_content_type() == "text/html":
            raise CheckpointError(
                f"{url} answers with a page in place of the file; open it in a browser, save the "
                "file, and run the command again with --from and its folder"
            )
        version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        if validator and version and version != validator:
            raise ChangedError
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            start = 0  # the server sends all of it
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab" if start else "wb") as file:
            done = start
            while block := response.read1(BLOCK_BYTES):
                done += file.write(block)
                progress(done, total)
    if total is not None and done < total:
        raise http.client.IncompleteRead(b"", total - done)
    return version
