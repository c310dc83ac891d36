"""Checks the remote to which a submission is pushed; submit.py adds it."""

from collections.abc import Iterator

from evaluator.preflight import Finding, note
from evaluator.preflight.checkout import Checkout


def find(checkout: Checkout) -> Iterator[Finding]:
    """Check that the remote exists."""
    name = checkout.remote
    url = checkout.git.run("config", "--get", f"remote.{name}.url").stdout.strip()
    if not url:
        yield note(
            f"there is no remote {name!r}",
            "a submission is a tag pushed to it",
            "submit.py adds it; or run: git remote add "
            f"{name} https://gitlab.aicrowd.com/USER/REPOSITORY.git",
        )
