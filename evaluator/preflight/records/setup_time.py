"""Finds errors and long times while importing and loading."""

from collections.abc import Iterator

from evaluator.grading.records import LATE, OK
from evaluator.preflight import Finding, fault, note
from evaluator.preflight.graded import Graded

NEAR = 0.5
"""Share of the limit above which a slower machine may exceed it."""


def find(graded: Graded) -> Iterator[Finding]:
    """Check what happened before the first song."""
    if not graded.start_ups:
        return
    # After a failed song it is restarted, with warm caches; the slowest start counts.
    start_up = max(graded.start_ups, key=lambda one: (one.outcome != OK, one.import_s + one.load_s))
    limit_s = graded.profile.setup_s
    took_s = start_up.import_s + start_up.load_s
    parts = f"{start_up.import_s:.1f} s to import and {start_up.load_s:.1f} s to load"
    if start_up.outcome not in (OK, LATE):
        yield fault(
            f"the model was not built: {start_up.outcome}: {start_up.message or 'no message'}",
            "no song can be separated",
            "run: python -c 'from my_submission.aicrowd_wrapper import AIcrowdWrapper'",
        )
    elif start_up.outcome == LATE or took_s > limit_s:
        yield fault(
            f"{parts}, of {limit_s:.0f} s allowed",
            "the server stops a submission that is not ready by then",
            "import less at the top of modules, and load weights without building them twice",
        )
    elif took_s > NEAR * limit_s:
        yield note(
            f"{parts}, of {limit_s:.0f} s allowed",
            "the server may be slower than this machine",
            "import less at the top of modules, and load weights without building them twice",
        )
