"""The worker on a Ray cluster. It is sent to the machines as it is here.

A machine may have another version of this package, or none. So this module is sent by value, and
must not import the package before it is known to be the same there.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import socket
from importlib import metadata, util
from pathlib import Path
from typing import Any

PACKAGE, DISTRIBUTION = "demixing", "sound-demixing"
COMPARED = ("code", "torch")
"""Code is compared, because a checkout may have the version of a release and differ from it."""


def facts() -> dict[str, str]:
    """What a machine has: its name, versions, and a digest of this package's code."""
    torch = re.sub(r"\+.*", "", version("torch"))  # with CUDA or without
    return {
        "machine": socket.gethostname(),
        "demixing": version(DISTRIBUTION),
        "code": code(),
        "torch": torch,
    }


def version(distribution: str) -> str:
    """Version of an installed distribution; empty if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def code() -> str:
    """Digest of this package's code; empty if the package is not there.

    Hidden files do not count: an editor makes them beside those that it has open.
    """
    found = util.find_spec(PACKAGE)
    digest = hashlib.sha256()
    for folder in map(Path, (found and found.submodule_search_locations) or ()):
        paths = {one.relative_to(folder).as_posix(): one for one in folder.rglob("*.py")}
        for name in sorted(one for one in paths if "/." not in f"/{one}"):
            digest.update(f"{name}\n".encode())
            digest.update(paths[name].read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:12] if found else ""


class Actor:
    """A worker. Its constructor does nothing that can fail: Ray would report that as its death.

    Args:
        expected: facts of the machine that has the songs.
        begin: pickled function without arguments that returns the worker.
    """

    def __init__(self, expected: dict[str, str], begin: bytes) -> None:
        self._expected, self._begin = expected, begin
        self._worker: Any = None

    def get_ready(self) -> dict[str, str] | None:
        """Load the weights, if this machine has the same package; return its facts otherwise."""
        own = facts()
        if any(own[name] != self._expected[name] for name in COMPARED):
            return own
        self._worker = pickle.loads(self._begin)()
        return None

    def do(self, item: Any) -> Any:
        """Do one song."""
        return self._worker.do(item)
