"""Ratios of times measured in turns, so that a busy machine affects both sides alike."""

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.songs import SAMPLE_RATE_HZ
from demixing.errors import ConfigError
from demixing.machine.linux import cpu_flags
from tools.golden.agreement import agreement_db

Side = Callable[[Tensor], Tensor]
"""Separates a song ``(2, samples)`` into ``(stems, 2, samples)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table.

    Attributes:
        what: subject of the comparison.
        ratio: median over the rounds.
        low: smallest ratio.
        high: largest ratio.
        note: agreement of the outputs, seconds and similar.
    """

    what: str
    ratio: float
    low: float
    high: float
    note: str = ""


def compare(
    what: str,
    theirs: Callable[[], object],
    ours: Callable[[], object],
    *,
    repeats: int,
    note: Callable[[float, float], str] = lambda theirs_s, ours_s: "",
    clock: Callable[[], float] = time.perf_counter,
) -> Line:
    """Time two functions in turns; the ratio is theirs over ours, so above 1 is faster.

    Args:
        what: subject of the comparison.
        theirs: runs the reference; warmed up by one run.
        ours: runs our code; likewise.
        repeats: number of rounds.
        note: returns the last column, given both medians in seconds.
        clock: returns seconds.
    """
    rounds = []
    for index in range(repeats):
        # The second may find warm caches, so the order alternates.
        first, second = (theirs, ours) if index % 2 == 0 else (ours, theirs)
        times_s = [_seconds(first, clock), _seconds(second, clock)]
        rounds.append(times_s if index % 2 == 0 else times_s[::-1])
    ratios = [theirs_s / ours_s for theirs_s, ours_s in rounds]
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    return Line(
        what=what,
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        note=note(medians[0], medians[1]),
    )


def compare_outputs(
    what: str, theirs: Side, ours: Side, audio: Tensor, *, repeats: int, peaks: str
) -> Line:
    """Time two ways to separate a song, and compare their outputs.

    Args:
        what: subject of the comparison.
        theirs: separates a song with the reference.
        ours: separates it with our code.
        audio: the song, ``(2, samples)``.
        repeats: number of rounds.
        peaks: result of :func:`benchmarks.peak.of_both`.
    """
    outputs = f"{agreement(theirs(audio), ours(audio))}, {peaks}"
    duration_s = audio.shape[-1] / SAMPLE_RATE_HZ
    return compare(
        what,
        lambda: theirs(audio),
        lambda: ours(audio),
        repeats=repeats,
        note=lambda theirs_s, ours_s: (
            f"{outputs}, {duration_s:.0f} s: {theirs_s:.1f} s and {ours_s:.1f} s"
        ),
    )


def checkout(original: Path | None, of: str) -> Path:
    """Return the folder of the code that a benchmark compares with.

    Args:
        original: folder from the command line, if any.
        of: required contents of the folder, for the message.

    Raises:
        ConfigError: there is no folder.
    """
    if original is None:
        raise ConfigError(f"this benchmark needs --original with {of}")
    return original


def agreement(reference: Tensor, answer: Tensor) -> str:
    """Describe the agreement of two outputs: in dB, and by the largest error.

    Args:
        reference: reference output, of any shape.
        answer: compared output, of the same shape.

    Returns:
        Text; its largest error is relative to the largest value of the reference.
    """
    largest = float((answer - reference).abs().max() / reference.abs().max())
    return f"{agreement_db(reference, answer):.1f} dB, max {largest:.0e}"


def machine() -> str:
    """Describe the machine of the measurements."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    interesting = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
    flags = [flag for flag in interesting if flag in cpu_flags()]
    return (
        f"{model} ({' '.join(flags) or 'no vector flags known'}), "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )


HEAD = "| what | ratio | min..max | note |\n|---|---|---|---|"
"""Head of the table, readable in a terminal and valid Markdown."""


def row(line: Line) -> str:
    """Format one line of the table.

    >>> row(Line(what="copying", ratio=2, low=1.5, high=2.5))
    '| copying | 2.00 | 1.50..2.50 |  |'
    """
    return f"| {line.what} | {line.ratio:.2f} | {line.low:.2f}..{line.high:.2f} | {line.note} |"


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    """Time one call."""
    start_s = clock()
    run()
    return clock() - start_s
