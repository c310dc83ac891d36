"""Changes that are not committed."""

from collections.abc import Iterator

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.checkout import Checkout


def find(checkout: Checkout) -> Iterator[Finding]:
    """Ask git for its status."""
    words = checkout.git.names("status", "--porcelain", "-z", "--no-renames")
    changed = [word[3:] for word in words]
    if changed:
        yield fault(
            f"changes that are not committed: {listed(changed)}",
            "what is graded is the commit, not what lies here",
            "submit.py commits all of them; or commit, or put into .gitignore",
        )
