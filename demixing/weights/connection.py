"""HTTP connections that end: every step of an answer has a deadline.

A socket's timeout is for one piece of data. A server may send a byte at a time, or "100 Continue"
without end, and no piece is late. So what is read from the socket is timed as a whole. Redirections
are followed here, since urllib reads the whole page that comes with one.
"""

import http.client
import io
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, cast

from demixing.errors import CheckpointError

AGENT = "sound-demixing"
"""Some servers reject Python's default."""

TIMEOUT_S = 60.0
"""Time without a byte from the server, and for the head of an answer."""

MOST_REDIRECTIONS = 10
REDIRECTIONS = (
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
)

MOST_ADDRESS = 10_000
"""Characters of an address; some hosts sign theirs at length."""


class Deadline:
    """When reading must end.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self._end_s = time.monotonic() + seconds

    def check(self) -> None:
        """Raise if the time is over.

        Raises:
            TimeoutError: it is.
        """
        if time.monotonic() > self._end_s:
            raise TimeoutError("the server is too slow")

    def extend(self, seconds: float) -> None:
        """Move the end to some seconds from now."""
        self._end_s = time.monotonic() + seconds


class _Timed(io.RawIOBase):
    """Reads a socket until a deadline."""

    def __init__(self, raw: io.RawIOBase, deadline: Deadline) -> None:
        self._raw, self._deadline = raw, deadline

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what has arrived."""
        self._deadline.check()
        return cast("int | None", cast("Any", self._raw).readinto(buffer))

    def close(self) -> None:
        """Close the socket's file."""
        self._raw.close()
        super().close()


class _Socket:
    """A socket as :class:`http.client.HTTPResponse` needs it."""

    def __init__(self, socket: Any, deadline: Deadline) -> None:
        self._socket, self._deadline = socket, deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        """A file that is read until the deadline."""
        raw = self._socket.makefile(mode, buffering=0)
        return io.BufferedReader(_Timed(raw, self._deadline))


def _response(deadline: Deadline) -> type[http.client.HTTPResponse]:
    """A class of responses with a deadline."""

    class Response(http.client.HTTPResponse):
        def __init__(self, sock: Any, *arguments: Any, **named: Any) -> None:
            super().__init__(cast("Any", _Socket(sock, deadline)), *arguments, **named)

    return Response


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirections."""

    def http_error_302(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any) -> None:
        """Leave it to the next handler, which raises the status."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _opener(deadline: Deadline) -> urllib.request.OpenerDirector:
    """An opener whose connections have a deadline; proxies come from the environment."""
    timed = {"response_class": _response(deadline)}
    plain: Any = type("Plain", (http.client.HTTPConnection,), timed)
    secure: Any = type("Secure", (http.client.HTTPSConnection,), timed)

    class Http(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(plain, req)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(secure, req)

    return urllib.request.build_opener(Http, Https, _Stay)


@contextmanager
def answer(
    url: str,
    headers: dict[str, str] | None = None,
    *,
    method: str = "GET",
    timeout_s: float | None = None,
) -> Iterator[tuple[http.client.HTTPResponse, Deadline]]:
    """Request an address, and follow its redirections.

    Args:
        url: http or https; from https only to https.
        headers: of the request.
        method: of the request.
        timeout_s: for the head of all answers; None: :data:`TIMEOUT_S`.

    Yields:
        The response, and the deadline of reading its body.

    Raises:
        CheckpointError: an address is not valid, or there are too many.
        urllib.error.URLError: the server is not reached, or says that there is no file.
        OSError: the connection breaks.
    """
    limit_s = timeout_s or TIMEOUT_S
    deadline = Deadline(limit_s)
    for _ in range(MOST_REDIRECTIONS):
        checked_address(url)
        request = urllib.request.Request(
            url, headers={"User-Agent": AGENT, **(headers or {})}, method=method
        )
        try:
            # A new opener: the shared one keeps the proxies from its first use.
            response = _opener(deadline).open(request, timeout=limit_s)
        except urllib.error.HTTPError as error:
            target = error.headers.get("Location") if error.headers else None
            if error.code not in REDIRECTIONS or not target:
                raise
            error.close()
            url = _redirected(url, target)
        except (ValueError, http.client.InvalidURL) as error:  # a host that is no name
            raise CheckpointError(f"expected an address, got {url[:200]}: {error}") from error
        else:
            with response:
                yield response, deadline
            return
    raise CheckpointError(f"{url[:200]} redirects more than {MOST_REDIRECTIONS} times")


def checked_address(url: str) -> None:
    """Raise unless this is an address of http or https.

    Raises:
        CheckpointError: it is not.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
        known = known and len(url) <= MOST_ADDRESS and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise CheckpointError(f"expected an address with http or https, got {url[:200]}")


def _redirected(url: str, target: str) -> str:
    """Where a redirection leads.

    Raises:
        CheckpointError: from https to http, or to no address.
    """
    try:
        found = urllib.parse.urljoin(url, target)
    except ValueError as error:
        raise CheckpointError(
            f"{url[:200]} redirects to {target[:200]}, which is no address"
        ) from error
    if url.startswith("https:") and not found.startswith("https:"):
        raise CheckpointError(f"{url[:200]} redirects from https to {found[:200]}")
    return found
