"""Finds songs that were late, or nearly late."""

from collections.abc import Iterator

from evaluator.grading.records import LATE
from evaluator.preflight import Finding, fault, listed, note
from evaluator.preflight.graded import Graded

NEAR = 0.93
"""Share of the limit above which a slower machine may exceed it; planners use up to 0.85."""


def find(graded: Graded) -> Iterator[Finding]:
    """Compare times with limits."""
    late = [
        f"{result.name!r} ({result.seconds:.1f} of {result.limit_s:.1f} s)"
        for result in graded.results
        if result.outcome == LATE or result.seconds > result.limit_s
    ]
    near = [
        f"{result.name!r} ({result.seconds:.1f} of {result.limit_s:.1f} s)"
        for result in graded.results
        if result.outcome != LATE and NEAR * result.limit_s < result.seconds <= result.limit_s
    ]
    if late:
        yield fault(
            f"late: {listed(late)}",
            "one late song fails the whole submission",
            "do less, or lower DEMIX_TIME_LIMIT; on the server, check gpu in aicrowd.json",
        )
    if near:
        yield note(
            f"nearly late: {listed(near)}",
            "the server may be slower than this machine",
            "do less, or lower DEMIX_TIME_LIMIT",
        )
