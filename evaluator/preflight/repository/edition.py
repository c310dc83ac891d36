"""Finds a submission to MDX'21, whose server starts another program than the later ones."""

from collections.abc import Iterator, Mapping

from evaluator.preflight import Finding, fault
from evaluator.preflight.checkout import CONTEST_FILE, Checkout
from evaluator.preflight.repository.contest_fields import MDX21, MDX23

PROGRAMS = ("run.sh", "predict.py")
"""Files that the server of 2021 starts. Source: AIcrowd's music-demixing-challenge-starter-kit."""


def find(checkout: Checkout) -> Iterator[Finding]:
    """Check that the server of 2021 would find what it starts."""
    table = checkout.contest
    if not isinstance(table, Mapping) or table.get("challenge_id") != MDX21:
        return
    missing = [name for name in PROGRAMS if not (checkout.folder / name).is_file()]
    if missing:
        yield fault(
            f"{CONTEST_FILE} names MDX'21, but there is no {' and no '.join(missing)}",
            "its server runs them, and puts its own package in place of evaluator/; here that "
            "edition is only served at home: demixing grade --profile mdx21",
            f"set challenge_id to {MDX23}, or write both files as docs/submitting.md shows",
        )
