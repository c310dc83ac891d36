"""Finds memory use above the server's limit, or close to it."""

from collections.abc import Iterator

from evaluator.grading.profiles import GIB
from evaluator.grading.records import MEMORY, SongResult
from evaluator.preflight import Finding, fault, listed, note
from evaluator.preflight.graded import Graded

NEAR = 0.9
"""Share of the limit above which longer songs may need too much."""


def find(graded: Graded) -> Iterator[Finding]:
    """Compare peak memory with the limit."""
    limit = graded.profile.memory_bytes
    over = [
        _words(result, limit)
        for result in graded.results
        if result.outcome == MEMORY or result.peak_bytes > limit
    ]
    near = [
        _words(result, limit)
        for result in graded.results
        if result.outcome != MEMORY and NEAR * limit < result.peak_bytes <= limit
    ]
    why = "the server kills a submission that needs more, and songs of the contest are minutes long"
    how = "separate in shorter chunks and smaller batches, and write results as they are ready"
    if over:
        yield fault(f"too much memory for {listed(over)}", why, how)
    if near:
        yield note(f"nearly all memory for {listed(near)}", why, how)


def _words(result: SongResult, limit: int) -> str:
    """A song, its peak memory and the limit, both in bytes."""
    return f"{result.name!r} ({result.peak_bytes / GIB:.1f} of {limit / GIB:.1f} GiB)"
