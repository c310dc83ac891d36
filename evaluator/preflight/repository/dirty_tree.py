"""Changes that are not committed."""

from collections.abc import Iterator

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.checkout import Checkout


def find(checkout: Checkout) -> Iterator[Finding]:
    """List what git's status reports."""
    words = checkout.git.names("status", "--porcelain", "-z", "--no-renames")
    changed = [word[3:] for word in words]
    if changed:
        yield fault(
            f"changes that are not committed: {listed(changed)}",
            "the commit is graded, not the working tree",
            "submit.py commits all of them; or commit, or put into .gitignore",
        )
