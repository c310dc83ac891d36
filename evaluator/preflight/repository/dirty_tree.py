"""Finds uncommitted changes, a note because submit.py commits them."""

from collections.abc import Iterator

from evaluator.preflight import Finding, listed, note
from evaluator.preflight.checkout import Checkout


def find(checkout: Checkout) -> Iterator[Finding]:
    """List the changes that git status reports."""
    words = checkout.git.names("status", "--porcelain", "-z", "--no-renames")
    changed = [word[3:] for word in words]
    if changed:
        yield note(
            f"uncommitted changes: {listed(changed)}",
            "the commit is graded, not the working tree",
            "submit.py commits all of them; or commit them, or add them to .gitignore",
        )
