"""Peak resident memory of two implementations, each in a process of its own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def of_both(module: str, *arguments: object) -> str:
    """Describe the peak memory of ``python -m module SIDE ARGUMENTS``, SIDE "theirs" and "ours".

    Args:
        module: calls :func:`report` at its end when run as a program.
        arguments: converted to text.
    """
    peaks = []
    for side in ("theirs", "ours"):
        command = [sys.executable, "-W", "ignore", "-m", module, side, *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        peaks.append(int(done.stdout.split()[-1]))
    return f"peak {peaks[0]} MiB and {peaks[1]} MiB"


def reset() -> None:
    """Reset the peak, so that the memory for building and filling a network does not count."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def read() -> int:
    """Peak resident memory of this process in MiB, without that of its parent."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def report() -> None:
    """Print the peak."""
    print(read())  # noqa: T201
