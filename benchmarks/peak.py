"""Peak memory: resident, of two implementations in a process each; and of tensors alone."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from torch.profiler import ProfilerActivity, profile

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


def tensors_mb(call: Callable[[], object]) -> float:
    """Peak of the memory that tensors allocate during a call, in MB; those before do not count."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        call()
    results = found.profiler.kineto_results
    changes = sorted(
        (one.start_ns(), one.nbytes()) for one in results.events() if one.name() == "[memory]"
    )
    return max(itertools.accumulate(size for _, size in changes), default=0) / 1e6


def report() -> None:
    """Print the peak."""
    print(read())  # noqa: T201
