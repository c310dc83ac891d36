"""Separate songs as the grader does, score the files that it would score, print the board.

    python evaluate_locally.py                     both tracks, on the samples that come with us
    python evaluate_locally.py --data DIR          MUSDB18-HQ, MDX'23, CDX'23, DnR, stem folders
    python evaluate_locally.py --limit             with the grader's time limit for each song

The songs are put into the grader's layout, AIcrowd's environment variables point to them, the
wrapper separates one after the other, and the evaluator reads back what was written. Everything
ends up in OUTPUT/<track>: dataset/, predictions/, scores.json, scores.csv and run.json.

A song may take as long as it takes, so that its score does not depend on what else the machine
does. With ``--limit`` a slow song is separated without some members of the recipe, as it would be
on the grading server. Whatever a song was separated without is marked in the table.
"""

import argparse
import concurrent.futures
import hashlib
import io
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from demixing.process.lifetime import die_with_parent

if __name__ == "__mp_main__":  # a worker: the imports below take seconds on a busy machine
    die_with_parent(os.getppid())

import samples
from demixing import threads, tracks
from demixing.cli import note
from demixing.engine import progress_bar
from demixing.engine.omissions import Omission
from demixing.errors import ConfigError, DemixError
from demixing.evaluation import metrics, report
from demixing.evaluation.dataset import prepare
from demixing.evaluation.run import SAMPLE, Run
from demixing.evaluation.scoring import score_folder
from demixing.evaluation.songs import choose, detect_track, find_songs
from demixing.evaluation.summary import summarise
from demixing.recipes import optional, reading, recipe
from demixing.schedule.budget import TIME_VARIABLE, UNLIMITED
from my_submission.workers import separate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names beyond the terminal's encoding
    try:
        wanted = runs(options)
        for advice in dict.fromkeys(optional.advice(chosen) for _, chosen in wanted):
            note(advice)
        for track, chosen in wanted:
            evaluate(track, chosen, options)
    except DemixError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except concurrent.futures.process.BrokenProcessPool:
        print(
            "error: a worker died, probably for lack of memory; use fewer --jobs, then --resume",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("stopped; songs that are finished stay: go on with --resume", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    result = argparse.ArgumentParser(
        description="Separate songs as the grader does, and score them as the board does."
    )
    result.add_argument(
        "--track", choices=sorted(tracks.TRACKS), help="default: both, or the data's"
    )
    result.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of songs with true stems, wav or flac"
    )
    result.add_argument(
        "--recipe", metavar="NAME|FILE", help=f"default: ${reading.RECIPE_VARIABLE}, or the track's"
    )
    result.add_argument("--songs", nargs="+", metavar="NAME", help="only these")
    result.add_argument("--output", type=Path, default=Path("evaluator_outputs"), metavar="DIR")
    result.add_argument("--jobs", type=int, default=1, metavar="N", help="songs at a time (1)")
    result.add_argument(
        "--limit",
        action="store_true",
        help=f"keep the time limit of ${TIME_VARIABLE}, or the grader's; default: none",
    )
    result.add_argument("--resume", action="store_true", help="keep songs that are finished")
    return result


def runs(options: argparse.Namespace) -> list[tuple[str, recipe.Recipe]]:
    """Decide which tracks to run, and with which recipe."""
    if options.jobs < 1:
        raise ConfigError(f"expected --jobs to be at least 1, got {options.jobs}")
    wanted = reading.load(options.recipe) if options.recipe else None
    name = options.track or (wanted.track.name if wanted else None)
    if name is None and options.data:
        name = detect_track(options.data)
    if wanted:
        if wanted.track.name != name:
            raise ConfigError(
                f"recipe {wanted.name!r} is for the track {wanted.track.name!r}, not {name!r}"
            )
        return [(name, wanted)]
    if name:
        return [(name, reading.chosen(tracks.by_name(name)))]
    named = reading.named()  # is for one of both
    return [
        (track.name, named if named and named.track == track else reading.default(track))
        for track in map(tracks.by_name, ("mdx", "cdx"))
    ]


def evaluate(track: str, chosen: recipe.Recipe, options: argparse.Namespace) -> None:
    """Separate, score and report one track."""
    absent = optional.absent(chosen)
    # Not as it is written: songs that were separated before a file was fetched are not resumed.
    used = optional.settled(chosen, absent)
    run = Run(
        folder=options.output / track,
        track=track,
        recipe=chosen.name,
        recipe_sha256=hashlib.sha256(repr(used).encode()).hexdigest(),
        data=str(options.data.resolve()) if options.data else "samples",
        limit=time_limit(chosen.track, kept=options.limit),
    )
    # All that can be wrong is found before anything is changed.
    known = run.known(resume=options.resume)
    if options.data and options.data.resolve().is_relative_to(run.folder.resolve()):
        raise ConfigError(
            f"--data {options.data} lies inside {run.folder}; choose another --output"
        )
    data = options.data or samples.folder(track, run.folder / SAMPLE)
    songs = choose(find_songs(data, track), options.songs)
    names = [song.name for song in songs]

    run.begin(names, known, resume=options.resume)
    for song in songs:
        prepare(song, track, run.dataset)
    lengths_s = {name: run.seconds(name) for name in run.unfinished(names)}
    spent_s = separate(
        lengths_s,
        worker_environment(run, options.recipe or chosen.name, options.jobs),
        options.jobs,
        lambda name, omissions: run.finish(name, plain(omissions)),
    )

    without = f" without {', '.join(absent)}" if absent else ""
    print(f"{track.upper()}, recipe {chosen.name!r}{without}, {options.data or 'samples'}")
    write_scores(run, names)
    print(speed(spent_s, lengths_s, chosen.track.time_limit))
    print()


def time_limit(track: tracks.Track, *, kept: bool) -> str:
    """The limit on the time for a song, in the words of the environment variable.

    Args:
        track: knows the grader's limit.
        kept: whether there is a limit at all.
    """
    if not kept:
        return UNLIMITED
    return os.environ.get(TIME_VARIABLE) or str(track.time_limit)


def worker_environment(run: Run, recipe_name: str, jobs: int) -> dict[str, str]:
    """What the server would set for a run, the time limit, and a worker's share of the threads.

    Args:
        run: is separated.
        recipe_name: name or path of a recipe.
        jobs: songs at a time, which share the processor's cores.
    """
    result = {
        "AICROWD_DATASET_DIR": str(run.dataset),
        "AICROWD_PUBLIC_SHARED_DIR": str(run.folder),
        tracks.TRACK_VARIABLE: run.track,
        reading.RECIPE_VARIABLE: recipe_name,
        TIME_VARIABLE: run.limit,
    }
    if jobs > 1:
        result |= threads.environment(max(threads.chosen() // jobs, 1))
    return result


def write_scores(run: Run, names: Sequence[str]) -> None:
    """Score the songs of a run; write the scores into its folder, and print the table."""
    metric = metrics.load("sdr")
    summary = summarise(score_folder(run.dataset, run.predictions, run.track, names), run.track)
    omissions = run.omissions(names)
    said = {name: [str(Omission(**one)) for one in of] for name, of in omissions.items()}
    report.write_report(run.folder / "scores.json", report.json_report(summary, metric, omissions))
    report.write_report(run.folder / "scores.csv", report.csv_report(summary, said))
    print(report.text_table(summary, metric, said), end="")


def plain(omissions: Iterable[Omission]) -> list[report.Omission]:
    """Turn omissions into what the evaluator knows, which must not know of recipes."""
    return [report.Omission(member=o.member, part=o.part, reason=o.reason) for o in omissions]


def speed(spent_s: Mapping[str, float], lengths_s: Mapping[str, float], time_limit: float) -> str:
    """One line about the time that was used, against the limit of the track."""
    if not spent_s:
        return "all songs were separated earlier"
    ratio = sum(spent_s.values()) / sum(lengths_s.values())
    slowest = max(spent_s, key=lambda name: spent_s[name] / lengths_s[name])
    worst = spent_s[slowest] / lengths_s[slowest]
    verdict = "within" if worst <= time_limit else "OVER"
    pace = progress_bar.in_real_time(1 / ratio)
    return (
        f"separated {sum(lengths_s.values()):.0f} s of audio {pace}; the slowest song took "
        f"{worst:.2f} x its length: {verdict} the limit of {time_limit} x"
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or workers would outlive us
    sys.exit(main())
