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
import contextlib
import functools
import hashlib
import io
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSequence, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from my_submission.process.lifetime import die_with_parent

if __name__ == "__mp_main__":  # a worker: the imports below take seconds on a busy machine
    die_with_parent(os.getppid())

import samples
from evaluator import metrics, report
from evaluator.dataset import prepare
from evaluator.errors import EvaluationError
from evaluator.run import SAMPLE, Run
from evaluator.scoring import score_folder
from evaluator.songs import choose, detect_track, find_songs
from evaluator.summary import summarise
from my_submission import progress, recipe, threads, tracks
from my_submission.budget import TIME_VARIABLE, UNLIMITED
from my_submission.errors import ConfigError, DemixError, OutputError, SongError
from my_submission.omissions import Omission

if TYPE_CHECKING:  # the parent process never needs torch
    from my_submission.aicrowd_wrapper import AIcrowdWrapper

PATIENCE_S = 30
"""What a worker has for its clean-ups: it cannot begin them in the middle of a layer."""

SPAWN = multiprocessing.get_context("spawn")
"""Workers start as new programs, which have none of this one's threads and locks."""

Future = concurrent.futures.Future[tuple[float, tuple[Omission, ...]]]
Parts = MutableSequence[float]

progress_parts: Parts = []
"""Of a worker: shared with the process that it works for."""

Finish = Callable[[str, tuple[Omission, ...]], None]
"""Called with the name of a song that was separated, and with what it had to do without."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names beyond the terminal's encoding
    try:
        for track, chosen in runs(options):
            evaluate(track, chosen, options)
    except (DemixError, EvaluationError) as error:
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
        "--recipe", metavar="NAME|FILE", help=f"default: ${recipe.RECIPE_VARIABLE}, or the track's"
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
    wanted = recipe.load(options.recipe) if options.recipe else None
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
        return [(name, recipe.chosen(tracks.by_name(name)))]
    named = recipe.named()  # is for one of both
    return [
        (track.name, named if named and named.track == track else recipe.default(track))
        for track in map(tracks.by_name, ("mdx", "cdx"))
    ]


def evaluate(track: str, chosen: recipe.Recipe, options: argparse.Namespace) -> None:
    """Separate, score and report one track."""
    run = Run(
        folder=options.output / track,
        track=track,
        recipe=chosen.name,
        recipe_sha256=hashlib.sha256(repr(chosen).encode()).hexdigest(),
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

    print(f"{track.upper()}, recipe {chosen.name!r}, {options.data or 'samples'}")
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
        recipe.RECIPE_VARIABLE: recipe_name,
        TIME_VARIABLE: run.limit,
    }
    if jobs > 1:
        share = str(max(threads.chosen() // jobs, 1))
        # The second is read when torch is loaded, and goes for all that is no network.
        result |= {threads.THREADS_VARIABLE: share, "OMP_NUM_THREADS": share}
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


def separate(
    lengths_s: Mapping[str, float], environment: Mapping[str, str], jobs: int, finish: Finish
) -> dict[str, float]:
    """Let the wrapper separate songs in processes of their own.

    Args:
        lengths_s: length of each song, by name.
        environment: of these processes, beside that of this one.
        jobs: songs at a time.
        finish: is called after each song.

    Returns:
        Seconds that each song took, without loading the model.

    Raises:
        SongError: a song cannot be separated.
        OutputError: its stems break the contract or cannot be written.
    """
    spent_s: dict[str, float] = {}
    parts = SPAWN.RawArray("d", len(lengths_s))
    show = progress.bar(environment[tracks.TRACK_VARIABLE])
    with workers(jobs, environment, parts) as pool, show as report:
        together = progress.Together(lengths_s, report)
        with interrupts_wait():  # children are born with it
            futures = {pool.submit(work, name, at): name for at, name in enumerate(lengths_s)}
        for future in watched(futures, parts, together):
            name = futures[future]
            try:
                spent_s[name], omissions = future.result()
            except (SongError, OutputError) as error:
                raise type(error)(f"song {name!r}: {error}") from error
            finish(name, omissions)
    return spent_s


def watched(
    futures: Mapping[Future, str], parts: Parts, together: progress.Together
) -> Iterator[Future]:
    """Yield songs as they are done, and report meanwhile how far the others are.

    Args:
        futures: with the name of the song of each, in the order of ``parts``.
        parts: of each song, how much of its work is done; written by the workers.
        together: joins them.
    """
    waiting = set(futures)
    while waiting:
        done, waiting = concurrent.futures.wait(
            waiting, progress.REFRESH_S, concurrent.futures.FIRST_COMPLETED
        )
        for name, part in zip(futures.values(), parts, strict=True):
            if part:
                together.update(name, part)
        for future in done:
            yield future
            together.update(futures[future], 1.0)


@contextlib.contextmanager
def workers(
    jobs: int, environment: Mapping[str, str], parts: Parts
) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Processes that separate; an interruption ends them and leaves whole files only.

    They are started where work is submitted to them, so in a thread that must outlast them.
    """
    pool = concurrent.futures.ProcessPoolExecutor(
        jobs,
        mp_context=SPAWN,
        initializer=become_worker,
        initargs=(dict(environment), os.getpid(), parts),
    )
    try:
        yield pool
    except BaseException:
        children = multiprocessing.active_children()
        for child in children:
            child.terminate()
        for child in children:
            child.join(PATIENCE_S)
            child.kill()
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back, here and in processes that are started meanwhile."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def become_worker(environment: Mapping[str, str], parent: int, parts: Parts) -> None:
    """Set up a process as the server would.

    Args:
        environment: is added to that of the process.
        parent: id of the process that it works for, and may not outlive.
        parts: where it writes how much of the work on a song is done.
    """
    global progress_parts
    progress_parts = parts
    die_with_parent(parent)  # again: it may have ended before this process asked who it is
    on_signals(leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    os.environ.update(environment)


def on_signals(action: Callable[[int, FrameType | None], object]) -> None:
    """Choose what happens to this process when somebody wants it to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, action)


def leave(*_: object) -> NoReturn:
    """End at once. The pool's own code would catch an exception, and go on or wait forever."""
    os._exit(130)


def stop_work(*_: object) -> NoReturn:
    """Leave the work through all its clean-ups, and let nothing interrupt those."""
    on_signals(lambda *_: None)
    raise KeyboardInterrupt


@functools.cache
def wrapper() -> "AIcrowdWrapper":
    """The wrapper of this process; its model is loaded once."""
    from my_submission.aicrowd_wrapper import AIcrowdWrapper

    return AIcrowdWrapper()


def work(name: str, at: int) -> tuple[float, tuple[Omission, ...]]:
    """Separate one song; return the seconds it took, and what it had to do without.

    Args:
        name: of the song.
        at: its place among the parts that tell of the progress.
    """

    def report(event: progress.Progress) -> None:
        progress_parts[at] = event.done

    try:
        try:
            on_signals(stop_work)
            ready = wrapper()
            ready.model.report = report
            started_s = time.monotonic()
            ready.separate_music_file(name)
            return time.monotonic() - started_s, ready.model.omissions
        finally:
            on_signals(leave)
    except KeyboardInterrupt:
        leave()


def speed(spent_s: Mapping[str, float], lengths_s: Mapping[str, float], time_limit: float) -> str:
    """One line about the time that was used, against the limit of the track."""
    if not spent_s:
        return "all songs were separated earlier"
    ratio = sum(spent_s.values()) / sum(lengths_s.values())
    slowest = max(spent_s, key=lambda name: spent_s[name] / lengths_s[name])
    worst = spent_s[slowest] / lengths_s[slowest]
    verdict = "within" if worst <= time_limit else "OVER"
    pace = progress.in_real_time(1 / ratio)
    return (
        f"separated {sum(lengths_s.values()):.0f} s of audio {pace}; the slowest song took "
        f"{worst:.2f} x its length: {verdict} the limit of {time_limit} x"
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or workers would outlive us
    sys.exit(main())
