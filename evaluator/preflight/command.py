"""``python -m evaluator preflight``: what the grader would hide or punish, one line each.

    python -m evaluator preflight                     the repository here
    python -m evaluator preflight --dataset DIR --predictions DIR [--records FILE]
                                                      and what was separated

The status is 0 if nothing is wrong, 1 if there are faults, and 2 if the question was wrong. Notes
alone leave it at 0.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from evaluator.errors import EvaluationError
from evaluator.grading.profiles import PROFILES, Profile
from evaluator.grading.records import Beginning, SongResult, of_json
from evaluator.preflight import FAULT, OUTPUT, RECORDS, REPOSITORY, Finding, findings
from evaluator.preflight.checkout import BRANCH, LFS_LIMIT_BYTES, REMOTE, Checkout

CHALLENGES = {
    "music-demixing-track-mdx-23": "mdx23",
    "cinematic-sound-demixing-track-cdx-23": "cdx23",
    "evaluations-api-music-demixing": "mdx21",
}
"""Profile by challenge."""


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its status.

    Raises:
        EvaluationError: the question was wrong.
    """
    options = parser().parse_args(arguments)
    if options.json is not None:
        from evaluator.report import check_writable

        check_writable(options.json)
    found: list[Finding] = []
    for one in _findings(options):
        print(one, flush=True)
        found.append(one)
    if options.json is not None:
        from evaluator.report import write_report

        write_report(options.json, as_json(found))
    faults = sum(one.severity == FAULT for one in found)
    print(f"{faults} faults, {len(found) - faults} notes", file=sys.stderr)
    return 1 if faults else 0


def parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    result = argparse.ArgumentParser(
        prog="python -m evaluator preflight",
        description="Find what the grader hides or punishes, before anything is pushed. One line "
        "for each finding: what, why, how to mend it. Status 1 if there is a fault.",
    )
    result.add_argument(
        "folder", type=Path, nargs="?", default=Path(), help="the repository (this folder)"
    )
    result.add_argument(
        "--profile", choices=list(PROFILES), help="of the server; told from aicrowd.json if not"
    )
    result.add_argument("--json", type=Path, metavar="FILE", help="write all findings as JSON")
    result.add_argument("--remote", default=REMOTE, metavar="NAME", help=f"({REMOTE})")
    result.add_argument(
        "--branch", default=BRANCH, metavar="NAME", help=f"that the remote has ({BRANCH})"
    )
    result.add_argument(
        "--lfs-limit",
        type=float,
        default=LFS_LIMIT_BYTES / 1e6,
        metavar="MB",
        help="files above it are for LFS (%(default)g)",
    )
    graded = result.add_argument_group("a run that there was already")
    graded.add_argument("--dataset", type=Path, metavar="DIR", help="songs in the grader's layout")
    graded.add_argument("--predictions", type=Path, metavar="DIR", help="what was separated")
    graded.add_argument("--records", type=Path, metavar="FILE", help="the grader's, JSON by line")
    return result


def as_json(found: Sequence[Finding]) -> str:
    """All findings as one JSON object."""
    faults = sum(one.severity == FAULT for one in found)
    table = {
        "faults": faults,
        "notes": len(found) - faults,
        "findings": [dataclasses.asdict(one) for one in found],
    }
    return json.dumps(table, indent=2) + "\n"


def profile_of(checkout: Checkout) -> Profile:
    """The server to which aicrowd.json goes.

    Raises:
        EvaluationError: it names no known challenge.
    """
    table = checkout.contest
    challenge = None if isinstance(table, str) else table.get("challenge_id")
    if challenge not in CHALLENGES:
        raise EvaluationError(
            f"expected a challenge of {', '.join(CHALLENGES)} in aicrowd.json, got {challenge!r}; "
            f"mend it, or say --profile {next(iter(PROFILES))}"
        )
    return PROFILES[CHALLENGES[challenge]]


def records(path: Path) -> tuple[Beginning | None, tuple[SongResult, ...]]:
    """Read the grader's records, one JSON object a line.

    Raises:
        EvaluationError: the file holds something else.
    """
    beginning, results = None, []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            record = of_json(json.loads(line))
            if isinstance(record, Beginning):
                beginning = record
            else:
                results.append(record)
    except (OSError, ValueError) as error:
        raise EvaluationError(
            f"expected the grader's records in {str(path)!r}, one JSON object a line, but: {error}"
        ) from error
    return beginning, tuple(results)


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    """All findings that the options ask for."""
    if options.lfs_limit <= 0:
        raise EvaluationError(f"expected --lfs-limit above 0, got {options.lfs_limit:g}")
    if (options.dataset is None) != (options.predictions is None):
        raise EvaluationError("expected --dataset and --predictions together, got one of them")
    checkout = Checkout(
        folder=options.folder,
        lfs_limit_bytes=round(options.lfs_limit * 1e6),
        remote=options.remote,
        branch=options.branch,
    )
    separated = options.dataset is not None or options.records is not None
    # What is wrong with the question is said before anything is found.
    profile = PROFILES[options.profile] if options.profile else None
    if separated and profile is None:
        profile = profile_of(checkout)
    beginning, results = records(options.records) if options.records else (None, ())
    yield from findings(REPOSITORY, checkout)
    if separated and profile is not None:
        from evaluator.preflight.graded import Graded  # imports numpy

        graded = Graded(
            profile=profile,
            beginning=beginning,
            results=results,
            dataset=options.dataset,
            predictions=options.predictions,
        )
        for kind in (RECORDS, OUTPUT):
            yield from findings(kind, graded)
