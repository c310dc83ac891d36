"""Ratios of times that were taken in turns, so that a busy machine disturbs both sides alike."""

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
from demixing.machine import cpu_flags
from tools.golden.agreement import agreement_db

Side = Callable[[Tensor], Tensor]
"""Separates a song."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table.

    Attributes:
        what: was compared.
        ratio: the median over the rounds.
        low: the smallest.
        high: the largest.
        note: agreement of the answers, seconds, and so on.
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
        what: is compared.
        theirs: the reference; it was called before, to warm up.
        ours: the same of the other.
        repeats: rounds.
        note: makes the last column of the medians, in seconds.
        clock: in seconds.
    """
    rounds = []
    for index in range(repeats):
        # Whoever comes second may find the caches warm: take turns at that too.
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


def beside(what: str, theirs: Side, ours: Side, audio: Tensor, *, repeats: int, peaks: str) -> Line:
    """Time two ways of separating a song, and say how far their answers are apart.

    Args:
        what: is compared.
        theirs: separates a song.
        ours: does the same.
        audio: the song, ``(2, samples)``.
        repeats: rounds.
        peaks: what :func:`benchmarks.peak.both` says of their memory.
    """
    said = f"{agreement(theirs(audio), ours(audio))}, {peaks}"
    duration_s = audio.shape[-1] / SAMPLE_RATE_HZ
    return compare(
        what,
        lambda: theirs(audio),
        lambda: ours(audio),
        repeats=repeats,
        note=lambda theirs_s, ours_s: (
            f"{said}, {duration_s:.0f} s: {theirs_s:.1f} s and {ours_s:.1f} s"
        ),
    )


def clone(original: Path | None, of: str) -> Path:
    """Where the code lies that a benchmark compares with.

    Args:
        original: what the command line was given, if anything.
        of: what must lie there, for the message.

    Raises:
        ConfigError: nothing was given.
    """
    if original is None:
        raise ConfigError(f"this benchmark needs --original with {of}")
    return original


def agreement(reference: Tensor, answer: Tensor) -> str:
    """How far an answer is from its reference: in dB of energy, and its largest error.

    The largest error is relative to the largest value of the reference.
    """
    largest = float((answer - reference).abs().max() / reference.abs().max())
    return f"{agreement_db(reference, answer):.1f} dB, max {largest:.0e}"


def machine() -> str:
    """What the figures were measured on."""
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
"""Of the table, for a terminal and for Markdown."""


def row(line: Line) -> str:
    """Lay one line of the table out.

    >>> row(Line(what="copying", ratio=2, low=1.5, high=2.5))
    '| copying | 2.00 | 1.50..2.50 |  |'
    """
    return f"| {line.what} | {line.ratio:.2f} | {line.low:.2f}..{line.high:.2f} | {line.note} |"


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    """Time one call."""
    start_s = clock()
    run()
    return clock() - start_s
