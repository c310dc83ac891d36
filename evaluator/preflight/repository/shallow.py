"""Finds a shallow clone, which cannot be pushed to a remote that lacks the missing history."""

from collections.abc import Iterator

from evaluator.preflight import Finding, fault
from evaluator.preflight.checkout import Checkout


def find(checkout: Checkout) -> Iterator[Finding]:
    """Check that all history is here or at the remote."""
    if checkout.cut_off:
        yield fault(
            f"a shallow clone, whose earlier history is not at {checkout.remote!r} either",
            "GitLab refuses a push of incomplete history",
            "run: git fetch --unshallow",
        )
