"""Checks the branch: AIcrowd's kits push only one name."""

from collections.abc import Iterator

from evaluator.preflight import Finding, note
from evaluator.preflight.checkout import Checkout


def find(checkout: Checkout) -> Iterator[Finding]:
    """Compare the name of the branch with the kits'."""
    name = checkout.git.run("symbolic-ref", "--quiet", "--short", "HEAD").stdout.strip()
    if name != checkout.branch:
        here = f"the branch is {name!r}" if name else "no branch is checked out"
        yield note(
            f"{here}, not {checkout.branch!r}",
            f"AIcrowd's kits and their submit.sh push {checkout.branch} and nothing else",
            f"submit.py pushes what is checked out as {checkout.branch}; by hand, run: "
            f"git push {checkout.remote} HEAD:{checkout.branch}",
        )
