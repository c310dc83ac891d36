"""A sandbox of Linux namespaces: where no container engine is, nearly what one would do.

A new file system holds the system's programs, Python and what would be in the image, all read-only,
the mixtures, and two folders that may be written to. There is no network but a silent loopback, no
other process to be seen, and no privilege. The commands are util-linux's, which every distribution
has. What differs from the server: programs and libraries are those of this machine, and memory is
watched by the grader instead of the kernel.
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

NOBODY = 61_001
"""User in the sandbox if we are root: nobody else's, so that its processes can be counted."""

SHM_BYTES = 64 * 1024**2
"""Of shared memory, as containers have."""

WAIT_S = 30


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Runs the submission in a folder.

    Attributes:
        folder: of the repository; what its .dockerignore leaves is visible.
        interpreter: Python, with the submission's packages.
    """

    folder: Path
    interpreter: Path = Path(sys.executable)

    @property
    def title(self) -> str:
        """See :class:`evaluator.grading.runners.Runner`."""
        return f"sandbox, {self.folder.resolve().name}"

    def check(self) -> None:
        """See that namespaces can be made here.

        Raises:
            EvaluationError: they cannot, or there is no submission.
        """
        missing = [name for name in COMMANDS if shutil.which(name, path=SEARCHED) is None]
        if sys.platform != "linux" or missing:
            raise EvaluationError(
                f"expected Linux with {', '.join(missing or COMMANDS)} for the sandbox; grade an "
                "image by docker or podman instead: --image NAME"
            )
        if not (self.folder / "my_submission").is_dir():
            raise EvaluationError(
                f"expected a folder with my_submission/ in {str(self.folder)!r}, found none; "
                "run in the repository or name it by --submission"
            )
        tried = subprocess.run(
            [*_unshare(), "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
        )
        if tried.returncode:
            said = tried.stderr.decode(errors="replace").strip()
            raise EvaluationError(
                f"expected to make namespaces for the sandbox, which failed ({said}); run as root, "
                "or grade an image by docker or podman: --image NAME"
            )

    def start(self, profile: Profile, mounts: Mounts) -> subprocess.Popen[bytes]:
        """Start the harness in new namespaces."""
        root = tempfile.mkdtemp(prefix="root-", dir=mounts.scratch.parent)
        repository = self.folder.resolve()
        tmp = mounts.scratch
        tmp.chmod(0o1777)
        for folder in (mounts.shared, mounts.shared / "predictions"):
            folder.chmod(0o777)
        names = {
            "PATH": f"{Path(os.path.realpath(self.interpreter.parent))}:{SEARCHED}",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            **environment(mounts, "/data", "/shared", "/grader"),
        }
        command = [
            "env",
            "-i",
            *(f"{key}={value}" for key, value in names.items()),
            *harness(str(_real(self.interpreter)), "/grader", profile),
        ]
        lines = [
            "set -eu",
            f"mount -t tmpfs -o size=16m,mode=755 tmpfs {shlex.quote(root)}",
            f"cd {shlex.quote(root)}",
            "mkdir -p tmp data shared grader proc dev/shm old opt/submission",
            _bound(tmp, "/tmp", writable=True),
            *(_bound(path, str(path)) for path in self._visible()),
            *(_bound(path, f"{SUBMISSION}/{path.name}") for path in in_image(repository)),
            *(
                _hidden(f"{SUBMISSION}/{path.relative_to(repository)}")
                for path in not_in_image(repository)
            ),
            _bound(mounts.mixtures.resolve(), "/data"),
            _bound(mounts.shared.resolve(), "/shared", writable=True),
            _bound(INSIDE, "/grader"),
            *(_bound(Path("/dev", name), f"/dev/{name}", writable=True) for name in DEVICES),
            f"mount -t tmpfs -o size={SHM_BYTES},mode=1777 tmpfs dev/shm",
            "ln -s /proc/self/fd dev/fd",
            "mount -t proc proc proc",
            "pivot_root . old",
            "umount -l /old",
            "rmdir /old",
            "mount -o remount,bind,ro /",
            f"cd {SUBMISSION}",
            "ulimit -c 0",
            f"ulimit -f {profile.disk_bytes // 512}",
            f"exec {shlex.join([*_without_privilege(profile), *command])}",
        ]
        processors = sorted(os.sched_getaffinity(0))[: max(round(profile.cpus), 1)]

        def prepare() -> None:
            os.sched_setaffinity(0, processors)
            # Where memory runs out, the kernel shall take this one.
            Path("/proc/self/oom_score_adj").write_text("1000")

        return subprocess.Popen(
            [*_unshare(), "sh", "-c", "\n".join(lines)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": SEARCHED},
            start_new_session=True,
            preexec_fn=prepare,
        )

    def root(self, process: subprocess.Popen[bytes]) -> int | None:
        """See :class:`evaluator.grading.runners.Runner`."""
        return process.pid

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """See :class:`evaluator.grading.runners.Runner`."""
        process.kill()  # process 1 of the namespace goes with it, and takes all others
        process.wait(WAIT_S)

    def _visible(self) -> Iterator[Path]:
        """What of this machine the sandbox may read."""
        yield from (Path(name) for name in (*SYSTEM, *SYSTEM_FILES) if Path(name).exists())
        real = _real(self.interpreter)
        found = {real.parent.parent, Path(sys.base_prefix)}
        for path in sorted(found):
            others = [Path("/usr"), *(other for other in found if other != path)]
            if not any(path.is_relative_to(other) for other in others):
                yield path


def in_image(folder: Path) -> list[Path]:
    """What of a repository a docker build would put into the image, by its .dockerignore.

    Args:
        folder: of the repository.

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
    """Folders that .dockerignore keeps out of the image, one level below :func:`in_image`.

    Deeper ones, and bytecode, which changes nothing, stay visible.

    Args:
        folder: of the repository.
    """
    ignored = Ignored.of(folder)
    return [
        path
        for parent in in_image(folder)
        for path in sorted(parent.glob("*/"))
        if path.name != "__pycache__" and ignored.by(f"{parent.name}/{path.name}")
    ]


def _unshare() -> list[str]:
    """The command that makes namespaces, and users' own if we are not root."""
    command = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
    return command if os.geteuid() == 0 else [*command, "--user", "--map-root-user"]


def _without_privilege(profile: Profile) -> list[str]:
    """The command before the submission's own: no capability, no way to get one."""
    command = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
    if os.geteuid() == 0:
        command += [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    limited = ["prlimit", f"--nproc={profile.processes}"]
    return [*limited, *command] if shutil.which("prlimit", path=SEARCHED) else command


def _real(interpreter: Path) -> Path:
    """An interpreter by the real name of its folder; itself it may be a link, which venv needs."""
    return Path(os.path.realpath(interpreter.parent)) / interpreter.name


def _hidden(target: str) -> str:
    """Shell command that shows an empty folder in place of one of the sandbox's."""
    return f"mount -t tmpfs -o ro,size=4k tmpfs {shlex.quote(f'.{target}')}"


def _bound(source: Path, target: str, *, writable: bool = False) -> str:
    """Shell commands that show a file or folder of this machine in the sandbox."""
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
