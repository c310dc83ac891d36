"""Finds weights in the repository's folder that were not added to git."""

from collections.abc import Iterator
from pathlib import Path

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.checkout import Checkout


def find(checkout: Checkout) -> Iterator[Finding]:
    """Find weights among the files that git does not track."""
    if isinstance(checkout.described, str):
        return
    used = {Path(one.path).resolve() for one in checkout.described.weights if not one.package}
    found = sorted(
        name for name in checkout.untracked if (checkout.folder / name).resolve() in used
    )
    if found:
        yield fault(
            f"weights that git does not track: {listed(found)}",
            "files that are not pushed are not on the server",
            "submit.py adds them; or run: git add FILE, and commit",
        )
