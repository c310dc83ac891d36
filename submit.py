"""Submit this repository to AIcrowd: preflight, commit, tag, push.

    python submit.py NAME               everything
    python submit.py NAME --dry-run     show each command, change nothing
    python submit.py NAME --no-run      without running the submission first

The current commit is pushed to the remote's branch master, the only one that AIcrowd's kits use.
Exit status: 0 it was pushed, 1 preflight found faults or the push failed, 2 bad input.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from demixing.cli.arguments import Parser
from demixing.cli.console import complain
from demixing.errors import DemixError
from evaluator.grading.command import add_run_options
from evaluator.preflight import command as preflight
from submitting.errors import SubmissionError
from submitting.submission import CORRECTED, Submission, tag_name


def main(arguments: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """Run the command line and return the exit status."""
    options = parser(prog).parse_args(arguments)
    try:
        return submit(options)
    except DemixError as error:
        complain(str(error))
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was pushed", file=sys.stderr)
        return 130


def parser(prog: str | None = None) -> Parser:
    """Describe the command line of a program with some name."""
    result = Parser(
        prog=prog, description="Submit this repository to AIcrowd: preflight, commit, tag, push."
    )
    result.add_argument("name", metavar="NAME", help="the tag is submission-NAME")
    result.add_argument("--dry-run", action="store_true", help="show each command, change nothing")
    result.add_argument("--anyway", action="store_true", help="submit despite faults")
    result.add_argument(
        "--repository",
        default="",
        metavar="NAME",
        help="your repository at AIcrowd; default: the kit's name",
    )
    result.add_argument("--whole-files", action="store_true", help="push large files without LFS")
    result.add_argument("--force", action="store_true", help="replace the remote's branch")
    preflight.add_repository_options(result)
    run = result.add_mutually_exclusive_group()
    run.add_argument("--no-run", action="store_true", help="preflight checks only the repository")
    run.add_argument("--graded", type=Path, metavar="DIR", help="preflight checks an earlier grade")
    add_run_options(result)
    result.set_defaults(output=None)
    return result


def submit(options: argparse.Namespace) -> int:
    """Check, then submit.

    Raises:
        EvaluationError: preflight cannot run.
        SubmissionError: something is missing, or the name is taken; nothing was changed.
    """
    checkout = preflight.checkout(options)
    submission = Submission(
        checkout=checkout,
        tag=tag_name(options.name, checkout.git),
        repository=options.repository,
        whole_files=options.whole_files,
        force=options.force,
        dry_run=options.dry_run,
    )
    submission.prepare()
    faults = look(options)
    if faults and not options.anyway:
        print(f"nothing was changed: {faults} faults; fix them, or add --anyway", file=sys.stderr)
        return 1
    try:
        page = submission.push()
    except SubmissionError as error:
        complain(str(error))
        return 1
    if options.dry_run:
        print("dry run: nothing was changed")
    else:
        print(f"pushed {submission.tag}")
    if page:
        print(f"the result appears at {page}")
    return 0


def look(options: argparse.Namespace) -> int:
    """Print preflight's findings, except those that a submission fixes; count the faults."""
    with tempfile.TemporaryDirectory() as folder:
        # Its output must not become part of the submission.
        options.output = options.output or Path(folder, "grade")
        found = []
        for one in preflight.all_findings(options, CORRECTED):
            print(one, flush=True)
            found.append(one)
    print(f"preflight: {preflight.summary(found)}", file=sys.stderr)
    return preflight.faults(found)


if __name__ == "__main__":
    sys.exit(main())
