"""``python -m evaluator grade``: grades a submission like the grading server."""

import argparse
import contextlib
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from demixing import small_files
from demixing.cli.arguments import Parser
from demixing.errors import EvaluationError
from evaluator.grading.profiles import GIB, PROFILES, Profile, changed

if TYPE_CHECKING:  # --help must not wait for numpy
    from evaluator.grading.grader import Grade, Record
    from evaluator.grading.records import SongResult
    from evaluator.grading.runners import Runner

PROGRAM = "python -m evaluator grade"
CONTEST_FILE = "aicrowd.json"
CONTEST_FILE_BYTES = 2**20
"""Larger ones are ignored: the submission may be someone else's."""

TRACK_VARIABLE = "DEMIX_TRACK"
"""Environment variable by which our own submission chooses its track, whatever the file says."""

LEAST, MOST = 1e-6, 10**9
"""Bounds of each limit: to Docker, 0 means no limit, and the system's clocks end somewhere."""

MOST_PROCESSES = 2**22
"""More are an error to Linux (``PID_MAX_LIMIT``)."""

STATUS_FAILED = 1
"""At least one song has no score."""


def parser(prog: str = PROGRAM) -> Parser:
    """Build the parser of the command line for a program name."""
    result = Parser(
        prog=prog,
        description="Run a submission like the grading server: without the network and the "
        "true stems, with its limits. Exit status: 0 all songs have a score, 1 some failed, 2 bad "
        "input.",
    )
    add_run_options(result)
    result.add_argument("--resume", action="store_true", help="keep songs that have a result")
    result.add_argument("--json", type=Path, metavar="FILE", help="write all scores as JSON")
    return result


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for songs, runner and limits."""
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="songs with true stems; default: the samples"
    )
    parser.add_argument("--songs", nargs="+", metavar="NAME", help="grade only these songs")
    parser.add_argument(
        "--output", type=Path, default=Path("evaluator_outputs/grade"), metavar="DIR"
    )
    _add_runner_options(parser.add_argument_group("runner"))
    _add_limits(parser.add_argument_group("limits"))


def _add_runner_options(group: argparse._ArgumentGroup) -> None:
    """Add the options for a container or a sandbox, and its variables."""
    group.add_argument("--image", metavar="NAME", help="image to run; default: a sandbox")
    group.add_argument(
        "--engine",
        default="",
        metavar="COMMAND",
        help="container engine; default: docker or podman",
    )
    group.add_argument(
        "--engine-option",
        action="append",
        default=[],
        metavar="OPTION",
        help="extra option of its run command",
    )
    group.add_argument(
        "--submission",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="repository to run in a sandbox",
    )
    group.add_argument(
        "--python",
        type=Path,
        default=Path(sys.executable),
        metavar="FILE",
        help="Python for a sandbox",
    )
    group.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="environment variable of the submission",
    )


def _add_limits(group: argparse._ArgumentGroup) -> None:
    """Add an option for the profile, and for each limit that may differ from it."""
    group.add_argument(
        "--profile",
        choices=sorted(PROFILES),
        help="contest; default: 2023, with the track of the songs",
    )
    group.add_argument(
        "--per-second", type=_number, metavar="SECONDS", help="limit per second of song (1.57)"
    )
    group.add_argument(
        "--setup", type=_number, metavar="SECONDS", help="limit to load the model (900)"
    )
    group.add_argument("--cpus", type=_number, help="number of processors (4)")
    group.add_argument("--memory", type=_number, metavar="GIB", help="memory of all processes (16)")
    group.add_argument(
        "--disk",
        type=_number,
        metavar="GIB",
        help="size of all written files, which a sandbox keeps in memory (4)",
    )
    group.add_argument(
        "--processes", type=_count, metavar="N", help="processes and threads at a time (1024)"
    )


def main(arguments: Sequence[str] | None = None, *, prog: str = PROGRAM) -> int:
    """Run the command line and return the exit status."""
    return grade(parser(prog).parse_args(arguments))


def grade(options: argparse.Namespace) -> int:
    """Grade, print the results, and return the exit status.

    Args:
        options: options of :func:`parser`.

    Raises:
        EvaluationError: the songs, the runner, the limits or the output cannot be used.
    """
    from demixing.evaluation.report_files import check_writable

    if options.json is not None:
        check_writable(options.json)
    run = of_options(options)
    profile = run.profile
    run.runner.check()
    print(
        f"{profile.name}, {run.runner.title}: {profile.per_second:g} s per second of song, "
        f"{profile.cpus:g} CPUs, {profile.memory_bytes / GIB:g} GiB, no network"
    )
    with run.run(resume=options.resume) as found:
        return _reported(run, found, options.json)


def _reported(run: "Grade", found: "Iterable[Record]", json: Path | None) -> int:
    """Print the records of a grade as they come, then its report; return the exit status."""
    from demixing.printing import printable
    from evaluator.grading import records

    notes = list(run.runner.notes(run.profile))
    results: list[SongResult] = []
    connections: set[str] = set()
    for record in found:
        while notes:
            print(f"note: {notes.pop(0)}", file=sys.stderr)
        if isinstance(record, records.SongResult):
            results.append(record)
            print(f"{record.name!a}: {record.outcome}, {record.seconds:.1f} s", file=sys.stderr)
        elif record.outcome != records.OK:
            print(
                f"error: the submission did not start ({record.outcome}): "
                f"{printable(record.message)}",
                file=sys.stderr,
            )
            return STATUS_FAILED
        else:
            connections.update(record.connections)
    print_report(run, results, connections, json)
    return STATUS_FAILED if any(one.outcome != records.OK for one in results) else 0


def print_report(
    run: "Grade", results: "Sequence[SongResult]", connections: Collection[str], json: Path | None
) -> None:
    """Score the songs that have stems, and print everything about a grade.

    Args:
        run: the grade.
        results: results of all songs.
        connections: addresses that the submission requested from the network.
        json: file to write the scores to.

    Raises:
        EvaluationError: stems cannot be scored, or the file cannot be written.
    """
    from demixing.evaluation import metrics
    from demixing.evaluation.report import text_table
    from demixing.evaluation.report_files import write_report
    from demixing.evaluation.report_json import json_report
    from demixing.evaluation.scoring import score_folder
    from demixing.evaluation.summary import summarise
    from evaluator.grading import records
    from evaluator.grading.grader import RECORDS
    from evaluator.grading.report import table, verdict

    track = run.profile.track
    good = sorted(one.name for one in results if one.outcome == records.OK)
    scores = score_folder(run.references, run.predictions, track, good) if good else []
    means_db = {one.name: one.mean_db for one in scores}
    print(table(sorted(results, key=lambda one: one.name), means_db), end="")
    if connections:
        names = ", ".join(sorted(connections))
        print(f"requested network access, which the server does not have: {names!a}")
    if scores:
        metric = metrics.load("sdr")
        summary = summarise(scores, track)
        print(text_table(summary, metric), end="")
        if json is not None:
            write_report(json, json_report(summary, metric))
    print(verdict(results), end="")
    print(f"records: {run.output / RECORDS}")


def of_options(options: argparse.Namespace, *, inspect: bool = False) -> "Grade":
    """The grade described by the options of :func:`add_run_options`.

    Args:
        options: parsed.
        inspect: record dtype, shape and peak of the arrays that the model returns.

    Raises:
        EvaluationError: the songs, the profile or a variable cannot be used.
    """
    from demixing.evaluation.songs import choose, find_songs
    from evaluator.grading.grader import Grade

    profile, data = profile_and_data(options)
    variables = environment(options.env)
    check_track(options, profile, variables)
    return Grade(
        runner=runner(options),
        profile=profile,
        songs=choose(find_songs(data, profile.track), options.songs),
        output=options.output,
        inspect=inspect,
        environment=variables,
    )


def profile_and_data(options: argparse.Namespace) -> tuple[Profile, Path]:
    """The limits, and the folder of songs; the samples if the options name no songs.

    Raises:
        EvaluationError: the songs belong to no track, or to a track other than the profile's.
    """
    from demixing.evaluation.songs import detect_track

    track = PROFILES[options.profile].track if options.profile else None
    data = options.data
    if data is None:
        track = track or _submitted_track(options.submission)
        data = samples(track, options.output.with_name(f"{options.output.name}.samples"))
    elif track is None:
        track = detect_track(data)
    profile = PROFILES[options.profile or f"{track}23"]
    memory, disk = (
        None if given is None else round(given * GIB) for given in (options.memory, options.disk)
    )
    return (
        changed(
            profile,
            per_second=options.per_second,
            setup_s=options.setup,
            cpus=options.cpus,
            memory_bytes=memory,
            disk_bytes=disk,
            processes=options.processes,
        ),
        data,
    )


def check_track(
    options: argparse.Namespace, profile: Profile, variables: Mapping[str, str]
) -> None:
    """Check that a submission separates the stems of a track, before it is started.

    An image may come from another folder, so for that the mismatch is only printed.

    Args:
        options: options of :func:`add_run_options`.
        profile: has the track of the songs.
        variables: of the submission.

    Raises:
        EvaluationError: a sandbox would separate the stems of the other track.
    """
    challenge = _challenge(options.submission)
    submitted = variables.get(TRACK_VARIABLE) or (challenge and _track_of(challenge))
    if not submitted or submitted == profile.track:
        return
    source = f"{TRACK_VARIABLE}={submitted}" if TRACK_VARIABLE in variables else challenge
    where = f"in {str(options.submission / CONTEST_FILE)!r}"
    text = (
        f"expected a submission to {profile.track.upper()}, the track of {profile.name} and its "
        f"songs, found {source!r}{'' if TRACK_VARIABLE in variables else f' {where}'}; add --env "
        f"{TRACK_VARIABLE}={profile.track}, change challenge_id, or choose --profile "
        f"{submitted}23 and songs of that track"
    )
    if not options.image:
        raise EvaluationError(text)
    print(f"warning, if the image was built from this folder: {text}", file=sys.stderr)


def runner(options: argparse.Namespace) -> "Runner":
    """The container or sandbox described by the options."""
    from evaluator.grading.container import Container
    from evaluator.grading.sandbox import Sandbox

    if options.image:
        return Container(options.image, options.engine, tuple(options.engine_option))
    return Sandbox(options.submission, options.python)


def samples(track: str, folder: Path) -> Path:
    """Let the repository write its samples; the evaluator has none of its own.

    Args:
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        folder: may be used for decoded audio.

    Returns:
        Folder of the songs.

    Raises:
        EvaluationError: they cannot be written.
    """
    command = [sys.executable, "-m", "samples", track, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EvaluationError(
            f"expected the samples of this repository, got: {done.stderr.strip()[-500:]}; "
            "give songs of your own with --data"
        )
    return Path(done.stdout.strip())


def environment(given: Sequence[str]) -> dict[str, str]:
    """Parse variables of the form ``NAME=VALUE``.

    Raises:
        EvaluationError: one has another form.
    """
    result = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not sign or not name:
            raise EvaluationError(f"expected --env NAME=VALUE, got {one!r}")
        result[name] = value
    return result


def _submitted_track(folder: Path) -> str:
    """The track of a repository, from its aicrowd.json.

    Raises:
        EvaluationError: there is no such file, or it has no challenge_id.
    """
    challenge = _challenge(folder)
    if not challenge:
        raise EvaluationError(
            f"expected {CONTEST_FILE} with a challenge_id in {str(folder)!r}; give the contest "
            f"with --profile, one of {', '.join(PROFILES)}"
        )
    return _track_of(challenge)


def _challenge(folder: Path) -> str:
    """The challenge_id in a repository's aicrowd.json; empty if there is none."""
    import json

    try:
        table = json.loads(small_files.read_text(folder / CONTEST_FILE, CONTEST_FILE_BYTES))
        return str(table["challenge_id"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _track_of(challenge: str) -> str:
    """The track of a challenge."""
    return "cdx" if "cdx" in challenge else "mdx"


def _number(text: str) -> float:
    """A number within bounds, for argparse."""
    with contextlib.suppress(ValueError):
        value = float(text)
        if LEAST <= value <= MOST:
            return value
    raise argparse.ArgumentTypeError(f"expected a number from {LEAST:g} to {MOST}, got {text!r}")


def _count(text: str) -> int:
    """A number of processes, for argparse."""
    with contextlib.suppress(ValueError):
        value = int(text)
        if 1 <= value <= MOST_PROCESSES:
            return value
    expected = f"a whole number from 1 to {MOST_PROCESSES}"
    raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
