"""Runs other programs; they end with this process, even if it is killed."""

import functools
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from demixing.machine import lifetime


def run(
    command: Sequence[str], *, timeout_s: float, folder: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a program and wait for it.

    Args:
        command: path of the program, and its arguments.
        timeout_s: then the program is killed.
        folder: it runs in; None: this process's.

    Returns:
        Its exit status, and what it printed, as text.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it did not end in time.
    """
    # Between fork and exec only system calls are safe: no import, and no thread.
    bound = functools.partial(lifetime.bind, os.getpid())
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=timeout_s,
        preexec_fn=bound if os.name == "posix" else None,
    )
