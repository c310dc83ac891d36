"""Finds uncommitted changes."""

from collections.abc import Iterator

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.checkout import Checkout


def find(checkout: Checkout) -> Iterator[Finding]:
    """List the changes that git status reports."""
    words = checkout.git.names("status", "--porcelain", "-z", "--no-renames")
    changed = [word[3:] for word in words]
    if changed:
        yield fault(
            f"uncommitted changes: {listed(changed)}",
            "the commit is graded, not the working tree",
            "submit.py commits all of them; or commit them, or add them to .gitignore",
        )
