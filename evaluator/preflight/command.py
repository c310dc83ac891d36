"""``python -m evaluator preflight``: faults that the grader would hide or penalise, one per line.

It checks the repository, then runs the submission on songs like ``grade``. The exit status is 0
without faults, even if there are notes, 1 with faults, and 2 for bad input.
"""

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli.arguments import Parser
from demixing.errors import EvaluationError
from evaluator.grading import command as grading
from evaluator.grading.profiles import PROFILES, Profile
from evaluator.preflight import FAULT, OUTPUT, RECORDS, REPOSITORY, Finding, findings
from evaluator.preflight.checkout import BRANCH, LFS_LIMIT_BYTES, REMOTE, Checkout

if TYPE_CHECKING:  # --help must not wait for numpy
    from evaluator.preflight.graded import Graded


PROGRAM = "python -m evaluator preflight"


def main(arguments: Sequence[str], *, prog: str = PROGRAM) -> int:
    """Run the command and return its status.

    Raises:
        EvaluationError: the input cannot be used.
    """
    options = parser(prog).parse_args(arguments)
    if options.json is not None:
        from demixing.evaluation.report_files import check_writable

        check_writable(options.json)
    found = []
    for one in all_findings(options):
        print(one, flush=True)
        found.append(one)
    if options.json is not None:
        from demixing.evaluation.report_files import write_report

        write_report(options.json, as_json(found))
    print(summary(found), file=sys.stderr)
    return 1 if faults(found) else 0


def parser(prog: str = PROGRAM) -> Parser:
    """Build the parser of the arguments for a program name."""
    result = Parser(
        prog=prog,
        description="Find faults that the grader hides or penalises, before pushing. One line "
        "for each finding: what, why, how to fix it. Exit status: 0 no faults, 1 faults, 2 bad "
        "input.",
    )
    run = result.add_mutually_exclusive_group()
    run.add_argument("--no-run", action="store_true", help="check only the repository")
    run.add_argument(
        "--graded", type=Path, metavar="DIR", help="check the output of an earlier grade"
    )
    result.add_argument("--json", type=Path, metavar="FILE", help="write all findings as JSON")
    add_repository_options(result)
    grading.add_run_options(result)
    result.set_defaults(output=Path("evaluator_outputs/preflight"))
    return result


def add_repository_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the repository and its remote."""
    parser.add_argument(
        "--remote", default=REMOTE, metavar="NAME", help="git remote of AIcrowd (%(default)s)"
    )
    parser.add_argument(
        "--branch", default=BRANCH, metavar="NAME", help="branch of the remote (%(default)s)"
    )
    parser.add_argument(
        "--lfs-limit",
        type=float,
        default=LFS_LIMIT_BYTES / 1e6,
        metavar="MB",
        help="size from which files need LFS (%(default)g)",
    )


def checkout(options: argparse.Namespace) -> Checkout:
    """The repository described by the options.

    Raises:
        EvaluationError: it is not a git repository, or an option is wrong.
    """
    if not 0 < options.lfs_limit <= grading.MOST:
        raise EvaluationError(
            f"expected --lfs-limit above 0, at most {grading.MOST}, got {options.lfs_limit:g}"
        )
    return Checkout(
        folder=options.submission,
        lfs_limit_bytes=round(options.lfs_limit * 1e6),
        remote=options.remote,
        branch=options.branch,
    )


def all_findings(options: argparse.Namespace, leaving_out: Sequence[str] = ()) -> Iterator[Finding]:
    """Run all checks that the options select.

    Args:
        options: options of :func:`parser`.
        leaving_out: names of checks to skip.

    Yields:
        Findings, as soon as they are known.

    Raises:
        EvaluationError: the input cannot be used.
    """
    repository = checkout(options)
    yield from findings(REPOSITORY, repository, leaving_out)
    if options.no_run:
        return
    earlier = contextlib.nullcontext(of_folder(options)) if options.graded else None
    with earlier or of_run(options) as graded:
        for kind in (RECORDS, OUTPUT):
            yield from findings(kind, graded, leaving_out)


@contextlib.contextmanager
def of_run(options: argparse.Namespace) -> Iterator["Graded"]:
    """Run the submission on songs, and read the results; hold its output until the block ends.

    Raises:
        EvaluationError: it cannot be run.
    """
    # Arrays are inspected before the wrapper writes them, because writing hides NaN and clips.
    run = grading.of_options(options, inspect=True)
    print(f"running the submission on {len(run.songs)} songs ...", file=sys.stderr)
    with run.run() as records:
        for _ in records:
            pass  # all results are in its folder
        yield _of_folder(options.output, run.profile)


def of_folder(options: argparse.Namespace) -> "Graded":
    """Read the output of an earlier grade.

    Raises:
        EvaluationError: the folder is not the output of a grade.
    """
    from evaluator.grading.grader import RECORDS

    if not (options.graded / RECORDS).is_file():
        raise EvaluationError(
            f"expected the output of a grade in {str(options.graded)!r}, found no {RECORDS}; "
            "run: python -m evaluator grade --output DIR"
        )
    if options.profile:
        profile = PROFILES[options.profile]
    else:
        from demixing.evaluation.songs import detect_track

        profile = PROFILES[f"{detect_track(options.graded / 'references')}23"]
    return _of_folder(options.graded, profile)


def _of_folder(folder: Path, profile: Profile) -> "Graded":
    """Read the output of a grade with a known profile.

    Raises:
        EvaluationError: its records cannot be read.
    """
    from evaluator.grading.grader import RECORDS
    from evaluator.grading.records import StartUp, parse
    from evaluator.preflight.graded import Graded

    try:
        lines = (folder / RECORDS).read_text(encoding="utf-8").splitlines()
        records = [parse(line) for line in lines]
    except (OSError, ValueError) as error:
        raise EvaluationError(
            f"expected the records of a grade in {str(folder / RECORDS)!r}, but: {error}; "
            "grade again"
        ) from error
    return Graded(
        profile=profile,
        start_ups=tuple(one for one in records if isinstance(one, StartUp)),
        results=tuple(one for one in records if not isinstance(one, StartUp)),
        dataset=folder / "references",
        predictions=folder / "predictions",
    )


def faults(found: Sequence[Finding]) -> int:
    """Number of findings that are faults."""
    return sum(one.severity == FAULT for one in found)


def summary(found: Sequence[Finding]) -> str:
    """All findings in a few words.

    >>> summary([])
    '0 faults, 0 notes'
    """
    count = faults(found)
    notes = len(found) - count
    return f"{count} fault{'s' * (count != 1)}, {notes} note{'s' * (notes != 1)}"


def as_json(found: Sequence[Finding]) -> str:
    """All findings as one JSON object."""
    table = {
        "faults": faults(found),
        "notes": len(found) - faults(found),
        "findings": [dataclasses.asdict(one) for one in found],
    }
    return json.dumps(table, indent=2) + "\n"
