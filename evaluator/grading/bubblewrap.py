"""The arguments of bubblewrap, which builds the sandbox's namespaces and file system.

Source: bwrap(1).
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from demixing.machine.linux import lines
from evaluator.grading.profiles import Profile
from evaluator.grading.runners import DATA, GRADER, PREDICTIONS, Mounts

SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/passwd", "/etc/group", "/etc/localtime")
DEVICES = ("null", "zero", "full", "random", "urandom")
SUBMISSION = "/opt/submission"
TEMPORARY = "/tmp"
SHARED_MEMORY = "/dev/shm"

USER_ID = 61_001
"""User in the sandbox if the grader runs as root."""

SHM_BYTES = 64 * 1024**2
"""Size of shared memory, the same as in containers."""

NAMESPACES = ("ipc", "pid", "net", "uts", "cgroup")
"""Namespaces as root, who needs none for users: the submission gets another user instead."""

SETPRIV_CAPABILITIES = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
"""What setpriv needs, as root, to give up everything."""


def is_root() -> bool:
    """Whether the grader runs as root, and can become other users.

    In a namespace that an ordinary user has made, root has no other users.
    """
    if os.geteuid() != 0:
        return False
    ranges = (map(int, line.split()) for line in lines(Path("/proc/self/uid_map")))
    return any(first <= USER_ID < first + count for first, _, count in ranges)


def isolation() -> list[str]:
    """Arguments for the namespaces.

    Process 1 is the harness, which ends with its pipe to the grader, and whose memory is closed to
    the submission, although both have one user. Bubblewrap's own process 1 has neither property,
    and an early end of the grader could leave it waiting: it is not bound to its parent while it
    makes the namespaces.
    """
    common = ["--as-pid-1", "--new-session"]
    if is_root():
        capabilities = [word for name in SETPRIV_CAPABILITIES for word in ("--cap-add", name)]
        return [*(f"--unshare-{name}" for name in NAMESPACES), *capabilities, *common]
    return ["--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL", *common]


def file_system(
    mounts: Mounts, profile: Profile, system: Iterable[Path], submission: Mapping[Path, str]
) -> Iterator[str]:
    """Arguments for a file system of which only predictions and temporary files are writable.

    These are in memory, because nothing else bounds the size of deleted files that are still open.

    Args:
        mounts: has the mixtures and the harness.
        profile: has the size of the writable folders.
        system: files and folders of this machine, which keep their paths.
        submission: other files and folders, and their paths inside.
    """
    yield from _in_memory(TEMPORARY, profile.disk_bytes, "1777")
    yield from _folder(SUBMISSION)
    for path in system:
        yield from _bound(path, str(path))
    for path, target in submission.items():
        yield from _bound(path, target)
    yield from _bound(mounts.mixtures.resolve(), DATA)
    yield from _bound(mounts.inside.resolve(), GRADER)
    yield from _folder(str(Path(PREDICTIONS).parent))
    yield from _in_memory(PREDICTIONS, profile.disk_bytes, "0777")
    yield from _folder("/dev")
    for name in DEVICES:
        yield from ("--dev-bind", f"/dev/{name}", f"/dev/{name}")
    yield from ("--symlink", "/proc/self/fd", "/dev/fd")
    yield from _in_memory(SHARED_MEMORY, SHM_BYTES, "1777")
    yield from ("--proc", "/proc", "--chdir", SUBMISSION)


def hidden(target: str) -> Sequence[str]:
    """Arguments that cover a folder of the sandbox with an empty one."""
    return (*_in_memory(target, 4096, "0755"), "--remount-ro", target)


def variables(values: Mapping[str, str]) -> Iterator[str]:
    """Arguments for the variables; there are no others."""
    yield "--clearenv"
    for name, value in values.items():
        yield from ("--setenv", name, value)


def without_privilege(setpriv: str) -> list[str]:
    """The words before a command: no capabilities, and no way to get any."""
    if not is_root():
        return []  # bubblewrap has dropped everything
    user = (f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups")
    return [setpriv, "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", *user]


def _in_memory(target: str, size_bytes: int, permissions: str) -> Sequence[str]:
    """Arguments for a file system in memory."""
    return ("--perms", permissions, "--size", str(size_bytes), "--tmpfs", target)


def _bound(source: Path, target: str) -> Sequence[str]:
    """Arguments that show a file or folder of this machine, read-only."""
    parent = _folder(str(Path(target).parent))
    if source.is_symlink():
        return (*parent, "--symlink", str(source.readlink()), target)
    return (*parent, "--ro-bind", str(source), target)


def _folder(target: str) -> Sequence[str]:
    """Arguments that make a folder; otherwise bubblewrap makes it for root alone."""
    return ("--dir", target)
