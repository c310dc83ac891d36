"""Information from Linux about the machine and this process's container.

It is read from small files under ``/proc`` and ``/sys``. Where they do not exist, for example on
other systems, the functions return nothing.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/cgroups.rst; proc(5).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class ControlGroup(NamedTuple):
    """One control group of this process.

    Attributes:
        version: 1 or 2, which determines the file names in the folder.
        folder: folder of the group's files.
    """

    version: int
    folder: Path


def control_groups(controller: str, root: Path = Path("/")) -> Iterator[ControlGroup]:
    """Yield the control groups of this process, each followed by those above it.

    Every group up to the root may have a limit, and the tightest one applies. In a container, the
    path from ``/proc/self/cgroup`` may not exist, because the container's own group is mounted as
    the root; then only the root can be read.

    Args:
        controller: ``cpu`` or ``memory``.
        root: root of the file system, for tests.
    """
    mount = root / "sys/fs/cgroup"
    for line in lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not path.startswith("/"):
            continue
        if not controllers:
            version, top = 2, mount
        elif controller in controllers.split(","):
            version, top = 1, mount / controllers
            top = top if top.is_dir() else mount / controller
        else:
            continue
        inner = Path(path.lstrip("/"))
        for group in (inner, *inner.parents):
            yield ControlGroup(version, top / group)


def cpu_model(root: Path = Path("/")) -> str:
    """Name of the processor; empty if it cannot be read."""
    return _of_processor("model name", root)


def cpu_flags(root: Path = Path("/")) -> frozenset[str]:
    """Instruction sets of the processor, as Linux names them; empty if they cannot be read."""
    return frozenset(_of_processor("flags", root).split())


def _of_processor(key: str, root: Path) -> str:
    """Read one field of the first processor that has it."""
    for line in lines(root / "proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def lines(path: Path) -> list[str]:
    """Lines of a small file; none if it is missing or unreadable."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
