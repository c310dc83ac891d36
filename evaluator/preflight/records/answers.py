"""Lists songs that failed, or have incomplete stems."""

from collections.abc import Iterator

from evaluator.grading.records import DIED, ERROR, INCOMPLETE
from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.graded import Graded

HOW = {
    DIED: "look for a segmentation fault: run it with python -X faulthandler",
    ERROR: "fix the exception, or catch it and return shares of the mixture",
    INCOMPLETE: "return all stems of the track, with the names that the wrapper knows",
}


def find(graded: Graded) -> Iterator[Finding]:
    """List songs by outcome; other checks list those that exceeded time or memory."""
    for outcome, how in HOW.items():
        songs = [
            f"{result.name!r} ({result.message or 'no message'})"
            for result in graded.results
            if result.outcome == outcome
        ]
        if songs:
            yield fault(
                f"{outcome}: {listed(songs)}",
                "one song without a result fails the whole submission",
                how,
            )
