"""Checks aicrowd.json for missing fields, wrong types and placeholders."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from evaluator.preflight import Finding, fault, listed, note
from evaluator.preflight.checkout import CONTEST_FILE, Checkout

MDX23, CDX23 = "music-demixing-track-mdx-23", "cinematic-sound-demixing-track-cdx-23"
MDX21 = "evaluations-api-music-demixing"

_ALWAYS = {
    "challenge_id": str,
    "authors": list,
    "external_dataset_used": bool,
    "description": str,
}

FIELDS: Mapping[str, Mapping[str, type]] = {
    MDX23: {**_ALWAYS, "gpu": bool, "labelnoise": bool, "bleeding": bool},
    CDX23: {**_ALWAYS, "gpu": bool},
    MDX21: {**_ALWAYS, "grader_id": str},
}
"""Type of each field, by challenge. Source: aicrowd.json of AIcrowd's starter kits."""

TRACKS = {MDX23: "mdx", CDX23: "cdx", MDX21: "mdx"}

_KINDS = {str: "a string", list: "a list of user names", bool: "true or false"}

_PLACEHOLDER = re.compile(r"\b(your|my|the)[-_ ]?(aicrowd)?[-_ ]?user[-_ ]?name\b|<.*>", re.I)

WHY = "the server uses it to decide what is graded, and for whom"


def find(checkout: Checkout) -> Iterator[Finding]:
    """Compare the file with the fields of the contest."""
    table = checkout.contest
    if isinstance(table, str):
        yield fault(f"{CONTEST_FILE} {table}", WHY, "copy it from AIcrowd's kit, or docs/tracks.md")
        return
    challenge = table.get("challenge_id")
    if not isinstance(challenge, str) or challenge not in FIELDS:
        yield fault(
            f"{CONTEST_FILE}: challenge_id is {challenge!r}",
            "a submission to an unknown challenge is not graded",
            f"write one of {', '.join(FIELDS)}",
        )
        return
    fields = FIELDS[challenge]
    for name, kind in fields.items():
        if name not in table:
            yield fault(f"{CONTEST_FILE} has no {name}", WHY, f"add it, {_KINDS[kind]}")
        elif not isinstance(table[name], kind):
            yield fault(
                f"{CONTEST_FILE}: {name} is {table[name]!r}", WHY, f"make it {_KINDS[kind]}"
            )
    yield from _texts(table)
    # The CLI's own `submission create` requires a grader_id, and a gpu for all tracks.
    extra = [name for name in table if name not in {*fields, "grader_id", "gpu"}]
    if extra:
        yield note(
            f"{CONTEST_FILE}: fields that {challenge} does not have: {listed(extra)}",
            "they are ignored, or one is misspelt",
            f"remove them; the contest has {', '.join(fields)}",
        )


def _texts(table: Mapping[str, Any]) -> Iterator[Finding]:
    """Find strings that are empty or placeholders."""
    authors = table.get("authors")
    if isinstance(authors, list):
        bad = [
            repr(author)
            for author in authors
            if not isinstance(author, str) or not author.strip() or _PLACEHOLDER.search(author)
        ]
        if bad or not authors:
            yield fault(
                f"{CONTEST_FILE}: authors has {listed(bad) or 'no names'}",
                "a submission counts for the users named there",
                "write your user name at AIcrowd, and those of your team",
            )
    description = table.get("description")
    if isinstance(description, str) and (
        not description.strip() or _PLACEHOLDER.search(description)
    ):
        yield fault(
            f"{CONTEST_FILE}: description is {description!r}",
            "it is how you tell your submissions apart on the leaderboard",
            "describe this one in a few words",
        )
