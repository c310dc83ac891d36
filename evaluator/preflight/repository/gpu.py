"""Checks that a recipe whose networks need a GPU asks for one."""

from collections.abc import Iterator

from evaluator.preflight import Finding, listed, note
from evaluator.preflight.checkout import CONTEST_FILE, Checkout


def find(checkout: Checkout) -> Iterator[Finding]:
    """Compare aicrowd.json with the weights, if both are known."""
    table, described = checkout.contest, checkout.described
    if isinstance(table, str) or isinstance(described, str) or table.get("gpu") is True:
        return
    slow = [one.name for one in described.submitted if one.needs_gpu]
    if slow:
        yield note(
            f"{CONTEST_FILE} asks for no GPU, but these weights need one: {listed(slow)}",
            "on the server's CPUs they take longer than the time limit, so songs are separated "
            "without them",
            f'set "gpu" to true in {CONTEST_FILE}, or choose a recipe without them',
        )
