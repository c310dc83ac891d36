"""Finds passwords and tokens in the addresses of remotes, where AIcrowd's submit.sh puts one."""

from collections.abc import Iterator

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.checkout import Checkout
from evaluator.preflight.git import has_password


def find(checkout: Checkout) -> Iterator[Finding]:
    """Check all remotes without printing secrets."""
    lines = checkout.git.run("config", "--local", "-z", "--get-regexp", r"^remote\..*url$").stdout
    entries = [entry.partition("\n") for entry in lines.split("\0") if entry]
    found = sorted(
        {key.split(".", 1)[1].rpartition(".")[0] for key, _, url in entries if has_password(url)}
    )
    if found:
        yield fault(
            f"the address of the remote {listed(found)} in .git/config contains a token",
            "anyone who reads this folder, or git's output, can push in your name",
            "run: git remote set-url NAME https://gitlab.aicrowd.com/USER/REPOSITORY.git; "
            "submit.py takes the token from aicrowd-cli's login",
        )
