"""What a result was computed with: the machine, and the versions of what ran on it."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from demixing.machine import installation, linux, threads

GPU_FILES = (Path("/dev/nvidiactl"), Path("/dev/kfd"))
"""One of them exists on Linux if there is a GPU that torch can use, by NVIDIA or AMD."""

GIT_S = 10
"""Seconds after which the revision counts as unknown."""


def machine(device: str | None = None) -> dict[str, Any]:
    """Describe the machine; None where something is not known.

    Args:
        device: name of the chosen device; None: the one that networks choose themselves.
    """
    return {
        "processor": linux.cpu_model() or platform.processor() or platform.machine() or None,
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": threads.chosen(),
        "device": device_name(device),
        "memory_bytes": memory_bytes(),
    }


def device_name(name: str | None = None) -> str:
    """The device of networks, with the GPU's model. Imports torch only if there may be a GPU."""
    name = name or os.environ.get("DEMIX_DEVICE")
    if name == "cpu" or (name is None and sys.platform == "linux" and not _has_gpu()):
        return "cpu"
    from demixing.machine.device import chosen_device, described, usable

    device = usable(name) if name else chosen_device()
    return "cpu" if device.type == "cpu" else described(device)


def _has_gpu() -> bool:
    """Whether Linux has the driver of a GPU."""
    return any(path.exists() for path in GPU_FILES)


def memory_bytes() -> int | None:
    """Physical memory of the machine; None if the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def versions(package: str) -> dict[str, str | bool | None]:
    """Versions of Python and libraries, and the revision of a checkout; None if not known.

    Args:
        package: version of this package.
    """
    revision, changed = git_state(installation.ROOT)
    return {
        "sound-demixing": package,
        "revision": revision,
        "changed": changed,
        "python": platform.python_version(),
        "torch": installed_version("torch"),
        "numpy": installed_version("numpy"),
    }


def installed_version(package: str) -> str | None:
    """Version of a package, which is not imported; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_state(root: Path) -> tuple[str | None, bool | None]:
    """The revision of a checkout, and whether tracked files differ from it; None if not known."""
    if not (root / ".git").exists():  # a wheel may be installed inside somebody's repository
        return None, None
    revision = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return revision, None if changes is None else bool(changes)


def _git(root: Path, *words: str) -> str | None:
    """The output of git; None if it fails or is not installed."""
    command = ["git", "--no-optional-locks", "-C", os.fspath(root), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
