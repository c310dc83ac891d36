"""Finds weights that were not added to git, a note because submit.py adds them."""

from collections.abc import Iterator
from pathlib import Path

from evaluator.preflight import Finding, listed, note
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
        yield note(
            f"weights that git does not track: {listed(found)}",
            "files that are not pushed are not on the server",
            "submit.py adds them; or run: git add FILE, and commit",
        )
