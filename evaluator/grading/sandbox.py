"""A sandbox of Linux namespaces: the closest thing to a container without an engine.

A new file system has the system's programs, Python and the files of the image, all read-only, the
mixtures, and two writable folders. There is no network except an isolated loopback, no other
process is visible, and there are no privileges. The commands are those of util-linux, which every
distribution has. Two things differ from the server: programs and libraries are those of this
machine, and memory is limited by the grader instead of the kernel.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demixing.errors import EvaluationError
from evaluator.grading.dockerignore import Ignored
from evaluator.grading.profiles import Profile
from evaluator.grading.runners import INSIDE, Mounts, environment, harness

COMMANDS = ("unshare", "mount", "umount", "pivot_root", "setpriv", "sh", "env")
SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/passwd", "/etc/group", "/etc/localtime")
DEVICES = ("null", "zero", "full", "random", "urandom")
SUBMISSION = "/opt/submission"

USER_ID = 61_001
"""User in the sandbox if the grader runs as root. No other user has this id, so its processes can
be counted."""

SHM_BYTES = 64 * 1024**2
"""Size of shared memory, the same as in containers."""

WAIT_S = 30


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Runs the submission in a folder.

    Attributes:
        folder: folder of the repository; files excluded by its .dockerignore are hidden.
        interpreter: Python, with the submission's packages.
    """

    folder: Path
    interpreter: Path = Path(sys.executable)

    @property
    def title(self) -> str:
        """See :class:`evaluator.grading.runners.Runner`."""
        return f"sandbox, {self.folder.resolve().name}"

    def check(self) -> None:
        """Check that namespaces can be created here.

        Raises:
            EvaluationError: they cannot, or there is no submission.
        """
        missing = [name for name in COMMANDS if shutil.which(name, path=SEARCHED) is None]
        if sys.platform != "linux" or missing:
            raise EvaluationError(
                f"expected Linux with {', '.join(missing or COMMANDS)} for the sandbox; grade an "
                "image with docker or podman instead: --image NAME"
            )
        if not (self.folder / "my_submission").is_dir():
            raise EvaluationError(
                f"expected a folder with my_submission/ in {str(self.folder)!r}, found none; "
                "run in the repository or give it with --submission"
            )
        tried = subprocess.run(
            [*_unshare(), "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
        )
        if tried.returncode:
            output = tried.stderr.decode(errors="replace").strip()
            raise EvaluationError(
                f"cannot create namespaces for the sandbox ({output}); run as "
                "root, or grade an image with docker or podman: --image NAME"
            )

    def start(self, profile: Profile, mounts: Mounts) -> subprocess.Popen[bytes]:
        """Start the harness in new namespaces."""
        mounts.scratch.chmod(0o1777)
        for folder in (mounts.shared, mounts.shared / "predictions"):
            folder.chmod(0o777)
        processors = sorted(os.sched_getaffinity(0))[: max(round(profile.cpus), 1)]

        def prepare() -> None:
            os.sched_setaffinity(0, processors)
            # If the machine runs out of memory, the kernel must kill this process first.
            Path("/proc/self/oom_score_adj").write_text("1000")

        return subprocess.Popen(
            [*_unshare(), "sh", "-c", "\n".join(self._script(profile, mounts))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": SEARCHED},
            start_new_session=True,
            preexec_fn=prepare,
        )

    def _script(self, profile: Profile, mounts: Mounts) -> Iterator[str]:
        """Lines of the shell script that builds the file system and becomes the harness."""
        root = tempfile.mkdtemp(prefix="root-", dir=mounts.scratch.parent)
        yield "set -eu"
        yield f"mount -t tmpfs -o size=16m,mode=755 tmpfs {shlex.quote(root)}"
        yield f"cd {shlex.quote(root)}"
        yield "mkdir -p tmp data shared grader proc dev/shm old opt/submission"
        yield from self._mounted(mounts)
        yield f"mount -t tmpfs -o size={SHM_BYTES},mode=1777 tmpfs dev/shm"
        yield "ln -s /proc/self/fd dev/fd"
        yield "mount -t proc proc proc"
        yield "pivot_root . old"
        yield "umount -l /old"
        yield "rmdir /old"
        yield "mount -o remount,bind,ro /"
        yield f"cd {SUBMISSION}"
        yield "ulimit -c 0"
        yield f"ulimit -f {profile.disk_bytes // 512}"
        command = [*_without_privilege(profile), *self._command(profile, mounts)]
        yield f"exec {shlex.join(command)}"

    def _mounted(self, mounts: Mounts) -> Iterator[str]:
        """Lines that mount everything the submission may see."""
        repository = self.folder.resolve()
        yield _bound(mounts.scratch, "/tmp", writable=True)
        for path in self._visible():
            yield _bound(path, str(path))
        for path in in_image(repository):
            yield _bound(path, f"{SUBMISSION}/{path.name}")
        for path in not_in_image(repository):
            yield _hidden(f"{SUBMISSION}/{path.relative_to(repository)}")
        yield _bound(mounts.mixtures.resolve(), "/data")
        yield _bound(mounts.shared.resolve(), "/shared", writable=True)
        yield _bound(INSIDE, "/grader")
        for name in DEVICES:
            yield _bound(Path("/dev", name), f"/dev/{name}", writable=True)

    def _command(self, profile: Profile, mounts: Mounts) -> list[str]:
        """The harness, with only its own variables."""
        variables = {
            "PATH": f"{Path(os.path.realpath(self.interpreter.parent))}:{SEARCHED}",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            **environment(mounts, "/data", "/shared", "/grader"),
        }
        return [
            "env",
            "-i",
            *(f"{key}={value}" for key, value in variables.items()),
            *harness(str(_real(self.interpreter)), "/grader", profile),
        ]

    def root(self, process: subprocess.Popen[bytes]) -> int | None:
        """See :class:`evaluator.grading.runners.Runner`."""
        return process.pid

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """See :class:`evaluator.grading.runners.Runner`."""
        process.kill()  # process 1 of the namespace ends with it, and then all others
        process.wait(WAIT_S)

    def _visible(self) -> Iterator[Path]:
        """Files and folders of this machine that the sandbox may read."""
        yield from (Path(name) for name in (*SYSTEM, *SYSTEM_FILES) if Path(name).exists())
        real = _real(self.interpreter)
        found = {real.parent.parent, Path(sys.base_prefix)}
        for path in sorted(found):
            others = [Path("/usr"), *(other for other in found if other != path)]
            if not any(path.is_relative_to(other) for other in others):
                yield path


def in_image(folder: Path) -> list[Path]:
    """The part of a repository that a docker build would put into the image.

    Args:
        folder: folder of the repository.

    Returns:
        Files and folders at its top; :func:`not_in_image` are exceptions in them.
    """
    ignored = Ignored.of(folder)
    return [
        path
        for path in sorted(folder.iterdir())
        if path.name != ".git" and not ignored.by(path.name)
    ]


def not_in_image(folder: Path) -> list[Path]:
    """Folders that .dockerignore excludes from the image, one level below :func:`in_image`.

    Deeper ones, and bytecode, which changes nothing, stay visible.

    Args:
        folder: folder of the repository.
    """
    ignored = Ignored.of(folder)
    return [
        path
        for parent in in_image(folder)
        for path in sorted(parent.glob("*/"))
        if path.name != "__pycache__" and ignored.by(f"{parent.name}/{path.name}")
    ]


def _unshare() -> list[str]:
    """The command that creates namespaces; unless run as root, including one for users."""
    command = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
    return command if os.geteuid() == 0 else [*command, "--user", "--map-root-user"]


def _without_privilege(profile: Profile) -> list[str]:
    """The command before the harness: no capabilities, and no way to get any."""
    command = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
    if os.geteuid() == 0:
        command += [f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups"]
    limited = ["prlimit", f"--nproc={profile.processes}"]
    return [*limited, *command] if shutil.which("prlimit", path=SEARCHED) else command


def _real(interpreter: Path) -> Path:
    """An interpreter in the real path of its folder; it may itself be a link, which venv needs."""
    return Path(os.path.realpath(interpreter.parent)) / interpreter.name


def _hidden(target: str) -> str:
    """Shell command that covers a folder of the sandbox with an empty one."""
    return f"mount -t tmpfs -o ro,size=4k tmpfs {shlex.quote(f'.{target}')}"


def _bound(source: Path, target: str, *, writable: bool = False) -> str:
    """Shell commands that mount a file or folder of this machine.

    Args:
        source: its path.
        target: its absolute path in the sandbox.
        writable: whether the submission may write to it.
    """
    where = shlex.quote(f".{target}")
    if source.is_symlink():
        return (
            f"mkdir -p {shlex.quote(f'.{Path(target).parent}')} && "
            f"ln -s {shlex.quote(str(source.readlink()))} {where}"
        )
    make = f"mkdir -p {where}"
    if not source.is_dir():
        make = f"mkdir -p {shlex.quote(f'.{Path(target).parent}')} && touch {where}"
    commands = [make, f"mount --bind {shlex.quote(str(source))} {where}"]
    options = "nosuid" if writable else "ro,nosuid,nodev"
    if not str(source).startswith("/dev/"):
        commands.append(f"mount -o remount,bind,{options} {where}")
    return " && ".join(commands)
