"""A sandbox of Linux namespaces, made by bubblewrap: the closest thing to a container's walls.

A new file system has the system's programs, Python and the files of the image, all read-only, the
mixtures, and two writable folders in memory. There is no network except an isolated loopback, no
other process is visible, there are no privileges, and a filter refuses dangerous system calls. A
control group limits memory, processes and processors, if one can be made. Programs and libraries
are those of this machine.
"""

import contextlib
import os
import platform
import resource
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from demixing.errors import EvaluationError
from demixing.machine.installation import home_folder
from evaluator.grading import bubblewrap, seccomp
from evaluator.grading.bubblewrap import SEARCHED, SUBMISSION
from evaluator.grading.cgroup import Group, Limits
from evaluator.grading.dockerignore import Ignored
from evaluator.grading.profiles import Profile
from evaluator.grading.runners import FILE_MODE, FOLDER_MODE, Mounts, environment, harness
from evaluator.grading.sandboxed import Sandboxed, process_1

PROGRAM = "bwrap"
PACKAGE = "my_submission"
"""Folder of the package that every submission has."""

COMMANDS = ("setpriv", "prlimit")
"""Commands of util-linux that start the harness inside."""


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
        if not (self.folder / PACKAGE).is_dir():
            raise EvaluationError(
                f"expected a folder with {PACKAGE}/ in {str(self.folder)!r}, found none; "
                "run in the repository or give it with --submission"
            )
        missing = [name for name in COMMANDS if not _found(name)]
        missing += [] if _program() else [PROGRAM]
        if missing or platform.machine() not in seccomp.ARCHITECTURES:
            raise EvaluationError(
                f"expected Linux on x86_64 or aarch64 with bubblewrap, found no "
                f"{' and no '.join(missing) or platform.machine()}; install bubblewrap (apt "
                "install bubblewrap), or docker or podman and grade an image: --image NAME"
            )
        self._check_interpreter()
        self._check_readable()
        mounts = ("--ro-bind", "/", "/", "--size", "4096", "--tmpfs", "/tmp")
        tried = subprocess.run(
            [_program(), *bubblewrap.isolation(), *mounts, "/bin/true"],
            capture_output=True,
            check=False,
        )
        if tried.returncode:
            output = tried.stderr.decode(errors="replace").strip()[-500:]
            raise EvaluationError(
                f"cannot create namespaces for the sandbox ({output!a}); run as root, allow "
                "user namespaces, use bubblewrap 0.8 or newer, or grade an image with docker or "
                "podman: --image NAME"
            )

    def shows(self, path: Path) -> Path | None:
        """See :class:`evaluator.grading.runners.Runner`."""
        for folder in (one.resolve() for one in self._system()):
            if path.is_relative_to(folder) or folder.is_relative_to(path):
                return folder
        repository = self.folder.resolve()
        if repository.is_relative_to(path):
            return repository
        if not path.is_relative_to(repository):
            return None
        first, *rest = path.relative_to(repository).parts
        ignored = Ignored.of(repository)
        inner = f"{first}/{rest[0]}" if rest else ""
        if first == ".git" or ignored.by(first):
            return None
        if inner and ignored.by(inner) and not (repository / inner).is_file():
            return None
        return repository / first

    def notes(self, profile: Profile) -> Iterator[str]:
        """See :class:`evaluator.grading.runners.Runner`."""
        group = Group.make(_limits(profile))
        limited = group.limited if group else frozenset[str]()
        if group:
            group.remove()
        if "memory" not in limited:
            yield (
                "no control group can be made here, so memory is measured ten times a second; the "
                "kernel stops only a single process at twice the limit, and processors are whole "
                "numbers"
            )
        elif "cpu" not in limited:
            yield "the control group here cannot limit processors, so they are whole numbers"

    def start(self, profile: Profile, mounts: Mounts) -> "Sandboxed":
        """Start the harness in new namespaces."""
        _check_file_size(profile)
        group = Group.make(_limits(profile))
        try:
            return self._started(profile, mounts, group)
        except BaseException:
            if group:
                group.remove()
            raise

    def _started(self, profile: Profile, mounts: Mounts, group: Group | None) -> "Sandboxed":
        """Start the harness in a control group, if there is one."""
        limited = group.limited if group else frozenset[str]()
        calls = seccomp.program(memory="memory" in limited, processors="cpu" in limited)
        words = list(self._arguments(profile, mounts))
        processors = sorted(os.sched_getaffinity(0))[: max(round(profile.cpus), 1)]

        def prepare() -> None:
            os.sched_setaffinity(0, processors)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            # If the machine runs out of memory, the kernel must kill this process first.
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
            if group:
                group.join()

        with contextlib.ExitStack() as closing:
            arguments = _file(closing, "\0".join(words).encode(errors="surrogateescape"))
            refused = _file(closing, calls)
            # Not a pipe: if the grader were killed, bubblewrap would fail half-way at its end.
            info = _file(closing, b"")
            passed = {"--args": arguments, "--seccomp": refused, "--info-fd": info}
            command = [_program(), *(f"{word}" for pair in passed.items() for word in pair)]
            process = subprocess.Popen(
                [*command, "--", *self._command(profile, limited)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={},
                pass_fds=tuple(passed.values()),
                start_new_session=True,
                preexec_fn=prepare,
            )
            return Sandboxed(process, process_1(info, process), group)

    def _arguments(self, profile: Profile, mounts: Mounts) -> Iterator[str]:
        """Arguments of bubblewrap."""
        yield from bubblewrap.isolation()
        repository = self.folder.resolve()
        shown = {path: f"{SUBMISSION}/{path.name}" for path in in_image(repository)}
        yield from bubblewrap.file_system(mounts, profile, self._system(), shown)
        for path in not_in_image(repository):
            yield from bubblewrap.hidden(f"{SUBMISSION}/{path.relative_to(repository)}")
        yield from ("--remount-ro", "/")
        values = {
            "PATH": f"{_real(self.interpreter).parent}:{SEARCHED}",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            **environment(mounts),
        }
        yield from bubblewrap.variables(values)

    def _command(self, profile: Profile, limited: Collection[str]) -> Iterator[str]:
        """The words that start the harness inside.

        Args:
            profile: limits.
            limited: what a control group limits already.
        """
        yield _found("prlimit")
        if "pids" not in limited:
            yield f"--nproc={profile.processes}"
        if "memory" not in limited:
            yield f"--data={2 * profile.memory_bytes}"  # the grader kills it at half of this
        yield from bubblewrap.without_privilege(_found("setpriv"))
        yield from harness(str(_real(self.interpreter)), profile)

    def _system(self) -> Iterator[Path]:
        """Files and folders of this machine that the sandbox may read."""
        names = (*bubblewrap.SYSTEM, *bubblewrap.SYSTEM_FILES)
        yield from (Path(name) for name in names if Path(name).exists())
        found = self._prefixes()
        for path in sorted(found):
            others = [Path("/usr"), *(other for other in found if other != path)]
            if not any(path.is_relative_to(other) for other in others):
                yield path

    def _prefixes(self) -> set[Path]:
        """Folders of Python, and of the Python that a virtual environment was made from."""
        folder = _real(self.interpreter).parent.parent
        found = {folder}
        with contextlib.suppress(OSError, ValueError):
            for line in (folder / "pyvenv.cfg").read_text(encoding="utf-8").splitlines():
                key, _, value = line.partition("=")
                if key.strip() == "home":
                    found.add(Path(value.strip()).resolve().parent)
        return found

    def _check_interpreter(self) -> None:
        """Raise if the folder of Python contains much more than Python."""
        home = home_folder()
        for prefix in self._prefixes():
            seen = home is not None and home.resolve().is_relative_to(prefix)
            if seen or not (prefix / "bin").is_dir():
                raise EvaluationError(
                    f"expected Python in a folder of its own, such as a virtual environment, got "
                    f"{str(self.interpreter)!r}, with which the submission would see "
                    f"{str(prefix)!r}; give another --python"
                )

    def _check_readable(self) -> None:
        """Raise if the submission is closed to the user that root gives it in the sandbox."""
        if not bubblewrap.is_root():
            return
        package = self.folder / PACKAGE
        for path in (package, *package.rglob("*.py"), *self._prefixes()):
            wanted = FOLDER_MODE if path.is_dir() else FILE_MODE
            if path.exists() and wanted & ~path.stat().st_mode & stat.S_IRWXO:
                raise EvaluationError(
                    f"expected files that every user can read, because root grades as user "
                    f"{bubblewrap.USER_ID}, but {str(path)!r} is closed to other users; run: "
                    f"chmod -R go+rX {shlex.quote(str(_top(path, self.folder)))}"
                )


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
        if not parent.is_symlink()
        for path in sorted(parent.glob("*/"))
        if path.name != "__pycache__" and ignored.by(f"{parent.name}/{path.name}")
    ]


def _top(path: Path, folder: Path) -> Path:
    """The repository if a path is in it; otherwise the path, a folder of Python."""
    return folder.resolve() if path.is_relative_to(folder) else path


def _limits(profile: Profile) -> Limits:
    """Limits of the control group, in which files count as memory; the grader subtracts them."""
    return Limits(
        memory_bytes=profile.memory_bytes + profile.disk_bytes,
        processes=profile.processes,
        cpus=profile.cpus,
    )


def _check_file_size(profile: Profile) -> None:
    """Raise if the system does not let this process, or the sandbox, write large files."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most != resource.RLIM_INFINITY and most < profile.disk_bytes:
        raise EvaluationError(
            f"expected files of {profile.disk_bytes} bytes to be allowed, but `ulimit -f` forbids "
            f"more than {most}; raise it, or lower --disk"
        )


def _file(closing: contextlib.ExitStack, contents: bytes) -> int:
    """A descriptor of an unnamed file, at its beginning."""
    descriptor = os.memfd_create("grade")
    closing.callback(os.close, descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(contents)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _found(name: str) -> str:
    """Path of a program of the system, which is the same inside; empty if there is none."""
    return shutil.which(name, path=SEARCHED) or ""


def _program() -> str:
    """Path of bubblewrap, the system's if it has one; empty if there is none."""
    return _found(PROGRAM) or shutil.which(PROGRAM) or ""


def _real(interpreter: Path) -> Path:
    """An interpreter in the real path of its folder; it may itself be a link, which venv needs."""
    return Path(os.path.realpath(interpreter.parent)) / interpreter.name
