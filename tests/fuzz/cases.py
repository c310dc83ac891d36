"""One case of fuzzing: a file is read in a forked child with limits.

A child has 10 s of processor time, a minute in all, and 2 GB. What is not an error that a user can
act on is a finding: another exception, a crash, a hang, or more memory.
"""

import faulthandler
import os
import resource
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from demixing.errors import DemixError

MOST_S = 10
MOST_WALL_S = 60
"""Other processes may keep a child waiting."""

MOST_BYTES = 2 << 30
MOST_TEXT = 4000


@dataclass(frozen=True, slots=True)
class Target:
    """Something that reads files.

    Attributes:
        seeds: makes good files.
        read: reads one.
        suffix: of its path.
        allowed: errors that mean that the file is refused.
    """

    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    suffix: str = ""
    allowed: tuple[type[Exception], ...] = (DemixError,)


@dataclass(frozen=True, slots=True)
class Finding:
    """What went wrong.

    Attributes:
        kind: the same for the same fault: an exception and its place, or a signal.
        text: the traceback, if there is one.
    """

    kind: str
    text: str = ""


def finding(target: Target, data: bytes, folder: Path) -> Finding | None:
    """Read a file in a child; return what went wrong.

    Args:
        target: reads it.
        data: contents of the file.
        folder: for the file.
    """
    path = folder / f"case{target.suffix}"
    path.write_bytes(data)
    out, into = os.pipe()
    before = _pages_bytes(1)  # the child has them, too
    child = os.fork()
    if not child:
        os.close(out)
        _work(target, path, into)
    os.close(into)
    with os.fdopen(out, "rb") as said:
        text = said.read().decode(errors="replace")
    _, status, usage = os.wait4(child, 0)
    if os.WIFSIGNALED(status):
        sign = signal.Signals(os.WTERMSIG(status))
        hang = sign in (signal.SIGALRM, signal.SIGXCPU, signal.SIGKILL)
        return Finding("a hang" if hang else f"a crash by {sign.name}", text)
    if text:
        return Finding(text.partition("\n")[0], text)
    if usage.ru_maxrss * 1024 > before + MOST_BYTES:
        return Finding("memory")
    return None


def _work(target: Target, path: Path, into: int) -> None:
    """Read a file, and say what went wrong; never returns."""
    faulthandler.disable()  # it would print on the terminal
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(MOST_WALL_S)
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_S, MOST_S + 1))
        resource.setrlimit(resource.RLIMIT_AS, (_pages_bytes(0) + MOST_BYTES,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        target.read(path)
    except target.allowed:
        pass
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} at {Path(where.filename).name}:{where.name}"
        said = "".join(traceback.format_exception(error))[-MOST_TEXT:]
        os.write(into, f"{kind}\n{said}".encode(errors="replace"))
    finally:
        os._exit(0)


def _pages_bytes(field: int) -> int:
    """Address space of this process (field 0), or its memory (field 1)."""
    text = Path("/proc/self/statm").read_text(encoding="ascii")
    return int(text.split()[field]) * os.sysconf("SC_PAGE_SIZE")


def minimised(target: Target, data: bytes, found: Finding, folder: Path, tries: int = 200) -> bytes:
    """Remove parts of a file as long as the same goes wrong."""
    step = max(len(data) // 2, 1)
    while step and tries:
        at = 0
        while at < len(data) and tries:
            tries -= 1
            shorter = data[:at] + data[at + step :]
            again = finding(target, shorter, folder)
            if again is not None and again.kind == found.kind:
                data = shorter
            else:
                at += step
        step //= 2
    return data
