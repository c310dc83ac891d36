"""``python -m evaluator grade``: what the grading server would say of a submission."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.errors import EvaluationError
from evaluator.grading.profiles import GIB, PROFILES, Profile, changed

if TYPE_CHECKING:  # --help must not wait for numpy
    from evaluator.grading.grader import Grade
    from evaluator.grading.records import SongResult
    from evaluator.grading.runners import Runner

STATUS_FAILED = 1
"""Some song has no result."""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    result = argparse.ArgumentParser(
        prog="python -m evaluator grade",
        description="Run a submission as the grading server does: away from the network and the "
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
    parser.add_argument("--songs", nargs="+", metavar="NAME", help="only these")
    parser.add_argument(
        "--output", type=Path, default=Path("evaluator_outputs/grade"), metavar="DIR"
    )
    group = parser.add_argument_group("runner")
    group.add_argument("--image", metavar="NAME", help="an image; without it a sandbox is made")
    group.add_argument("--engine", default="", metavar="COMMAND", help="default: docker or podman")
    group.add_argument(
        "--engine-option", action="append", default=[], metavar="OPTION", help="of its run"
    )
    group.add_argument(
        "--submission", type=Path, default=Path(), metavar="DIR", help="repository, for a sandbox"
    )
    group.add_argument(
        "--python", type=Path, default=Path(sys.executable), metavar="FILE", help="for a sandbox"
    )
    group.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="of the submission"
    )
    limits = parser.add_argument_group("limits")
    limits.add_argument("--profile", choices=sorted(PROFILES), help="default: 2023, by the songs")
    limits.add_argument("--per-second", type=_positive, metavar="SECONDS", help="1.57")
    limits.add_argument("--setup", type=_positive, metavar="SECONDS", help="900")
    limits.add_argument("--cpus", type=_positive, help="4")
    limits.add_argument("--memory", type=_positive, metavar="GIB", help="16")
    limits.add_argument("--disk", type=_positive, metavar="GIB", help="16")
    limits.add_argument("--processes", type=int, metavar="N", help="and threads, at a time")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = parser().parse_args(arguments)
    return grade(options)


def grade(options: argparse.Namespace) -> int:
    """Grade, print what happened, and return the exit status.

    Raises:
        EvaluationError: something that was given is not as it must be.
    """
    from demixing.evaluation import metrics
    from demixing.evaluation.report import check_writable, json_report, text_table, write_report
    from demixing.evaluation.scoring import score_folder
    from demixing.evaluation.summary import summarise
    from evaluator.grading import records
    from evaluator.grading.grader import RECORDS
    from evaluator.grading.report import table, verdict

    if options.json is not None:
        check_writable(options.json)
    run = of_options(options)
    profile = run.profile
    print(
        f"{profile.name}, {run.runner.title}: {profile.per_second:g} s per second of song, "
        f"{profile.cpus:g} CPUs, {profile.memory_bytes / GIB:g} GiB, no network"
    )
    results: list[SongResult] = []
    connections: list[str] = []
    for record in run.run(resume=options.resume):
        if isinstance(record, records.SongResult):
            results.append(record)
            print(f"{record.name!a}: {record.outcome}, {record.seconds:.1f} s", file=sys.stderr)
        elif record.outcome != records.OK:
            print(
                f"error: the submission did not start ({record.outcome}): {record.message}",
                file=sys.stderr,
            )
            return STATUS_FAILED
        else:
            connections += record.connections
    good = sorted(one.name for one in results if one.outcome == records.OK)
    metric = metrics.load("sdr")
    scores = score_folder(run.references, run.predictions, profile.track, good) if good else []
    print(
        table(sorted(results, key=lambda one: one.name), {one.name: one.mean_db for one in scores}),
        end="",
    )
    if connections:
        print(f"asked for the network, in vain: {', '.join(sorted(set(connections)))!a}")
    if scores:
        summary = summarise(scores, profile.track)
        print(text_table(summary, metric), end="")
        if options.json is not None:
            write_report(options.json, json_report(summary, metric))
    print(verdict(results), end="")
    print(f"all of it: {options.output / RECORDS}")
    return 0 if len(good) == len(results) else STATUS_FAILED


def of_options(options: argparse.Namespace, *, inspect: bool = False) -> "Grade":
    """The grade that the options of :func:`add_run_options` describe.

    Raises:
        EvaluationError: something that was given is not as it must be.
    """
    from demixing.evaluation.songs import choose, find_songs
    from evaluator.grading.grader import Grade

    profile, data = profile_and_data(options)
    return Grade(
        runner=runner(options),
        profile=profile,
        songs=choose(find_songs(data, profile.track), options.songs),
        output=options.output,
        inspect=inspect,
        environment=environment(options.env),
    )


def profile_and_data(options: argparse.Namespace) -> tuple[Profile, Path]:
    """Decide what is graded, by which limits.

    Raises:
        EvaluationError: the songs are of no track, or of another than the profile's.
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


def runner(options: argparse.Namespace) -> "Runner":
    """The container or sandbox that the options describe."""
    from evaluator.grading.container import Container
    from evaluator.grading.sandbox import Sandbox

    if options.image:
        return Container(options.image, options.engine, tuple(options.engine_option))
    return Sandbox(options.submission, options.python)


def samples(track: str, folder: Path) -> Path:
    """Let the repository write its own samples; the evaluator has no sound of its own.

    Raises:
        EvaluationError: it cannot.
    """
    command = [sys.executable, "-m", "samples", track, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EvaluationError(
            f"expected the samples of this repository, got: {done.stderr.strip()[-500:]}; "
            "name songs of your own by --data"
        )
    return Path(done.stdout.strip())


def environment(given: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=VALUE``.

    Raises:
        EvaluationError: one is none.
    """
    result = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not sign or not name:
            raise EvaluationError(f"expected --env NAME=VALUE, got {one!r}")
        result[name] = value
    return result


def _submitted_track(folder: Path) -> str:
    """The track of a repository's aicrowd.json."""
    import json

    try:
        challenge = json.loads((folder / "aicrowd.json").read_text(encoding="utf-8"))[
            "challenge_id"
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(
            f"expected aicrowd.json with a challenge_id in {str(folder)!r}; name the contest by "
            f"--profile, one of {', '.join(PROFILES)}"
        ) from error
    return "cdx" if "cdx" in str(challenge) else "mdx"


def _positive(text: str) -> float:
    """A number above 0, for argparse."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value
