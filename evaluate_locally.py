"""Separate songs as the grader does, score the files that it would score, print the board.

    python evaluate_locally.py                     both tracks, on the samples that come with us
    python evaluate_locally.py --data DIR          MUSDB18-HQ, MDX'23, CDX'23, DnR, stem folders

The songs are put into the grader's layout, AIcrowd's environment variables point to them, the
wrapper separates one after the other, and the evaluator reads back what was written. Everything
ends up in OUTPUT/<track>: dataset/, predictions/, scores.json, scores.csv and run.json.
"""

import argparse
import concurrent.futures
import contextlib
import functools
import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

import samples
from evaluator import metrics, report
from evaluator.dataset import prepare
from evaluator.errors import EvaluationError
from evaluator.scoring import score_folder
from evaluator.songs import Song, detect_track, find_songs
from evaluator.summary import summarise
from my_submission import progress, recipe, tracks
from my_submission.errors import ConfigError, DemixError

if TYPE_CHECKING:  # the parent process never needs torch
    from my_submission.aicrowd_wrapper import AIcrowdWrapper


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = parser().parse_args(arguments)
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
    result.add_argument("--recipe", metavar="NAME|FILE", help="default: the track's")
    result.add_argument("--songs", nargs="+", metavar="NAME", help="only these")
    result.add_argument("--output", type=Path, default=Path("evaluator_outputs"), metavar="DIR")
    result.add_argument("--jobs", type=int, default=1, metavar="N", help="songs at a time (1)")
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
    names = [name] if name else ["mdx", "cdx"]
    if wanted and wanted.track.name != name:
        raise ConfigError(
            f"recipe {wanted.name!r} is for the track {wanted.track.name!r}, not {name!r}"
        )
    return [
        (name, wanted or recipe.load(recipe.default_name(tracks.by_name(name)))) for name in names
    ]


def evaluate(track: str, chosen: recipe.Recipe, options: argparse.Namespace) -> None:
    """Separate, score and report one track."""
    output = options.output / track
    start(output, chosen, resume=options.resume)
    data = options.data or samples.folder(track, output / "sample")
    songs = choose(find_songs(data, track), options.songs)
    for song in songs:
        prepare(song, track, output / "dataset")

    names = [song.name for song in songs]
    left = [name for name in names if not (options.resume and finished(output, chosen, name))]
    environment = {
        "AICROWD_DATASET_DIR": str(output / "dataset"),
        "AICROWD_PUBLIC_SHARED_DIR": str(output),
        tracks.TRACK_VARIABLE: track,
        recipe.RECIPE_VARIABLE: options.recipe or chosen.name,
    }
    lengths_s = {name: seconds(output, chosen, name) for name in left}
    spent_s = separate(lengths_s, environment, options.jobs)

    metric = metrics.load("sdr")
    scores = score_folder(output / "dataset", output / "predictions", track, names)
    summary = summarise(scores, track)
    report.write_report(output / "scores.json", report.json_report(summary, metric))
    report.write_report(output / "scores.csv", report.csv_report(summary))
    print(f"{track.upper()}, recipe {chosen.name!r}, {data if options.data else 'samples'}")
    print(report.text_table(summary, metric), end="")
    print(speed(spent_s, lengths_s, chosen.track.time_limit))
    print()


def start(output: Path, chosen: recipe.Recipe, *, resume: bool) -> None:
    """Make the folders of a run, and empty those of an earlier one unless it goes on.

    Raises:
        ConfigError: the folder holds something else, or a run with another recipe.
    """
    note = output / "run.json"
    digest = hashlib.sha256(repr(chosen).encode()).hexdigest()
    if output.exists() and any(output.iterdir()) and not note.is_file():
        raise ConfigError(
            f"{output} holds something that is not a run of ours; choose another --output"
        )
    if resume and note.is_file():
        earlier = json.loads(note.read_text(encoding="utf-8"))
        if earlier["recipe_sha256"] != digest:
            raise ConfigError(
                f"{output} was made with another recipe, {earlier['recipe']!r}; "
                "choose another --output, or drop --resume to start again"
            )
    else:
        for name in ("dataset", "predictions", "sample"):
            shutil.rmtree(output / name, ignore_errors=True)
    try:
        for name in ("dataset", "predictions"):
            (output / name).mkdir(parents=True, exist_ok=True)
            # What a run that was killed could not clean up.
            for unfinished in (output / name).glob("**/.unfinished-*"):
                shutil.rmtree(unfinished)
        note.write_text(json.dumps({"recipe": chosen.name, "recipe_sha256": digest}) + "\n")
    except OSError as error:
        raise ConfigError(f"cannot write to {output}: {error.strerror}") from error


def choose(songs: Sequence[Song], names: Sequence[str] | None) -> list[Song]:
    """Pick songs by name."""
    if names is None:
        return list(songs)
    known = {song.name: song for song in songs}
    for name in names:
        if name not in known:
            raise ConfigError(f"no song named {name!r} (have: {', '.join(known)})")
    return [known[name] for name in names]


def seconds(output: Path, chosen: recipe.Recipe, name: str) -> float:
    """Length of a song's mixture."""
    return float(soundfile.info(mixture(output, chosen, name)).duration)


def mixture(output: Path, chosen: recipe.Recipe, name: str) -> Path:
    """The mixture of a song, or its left half."""
    stem = "mixture_Lt" if chosen.track.split_mixture else "mixture"
    return output / "dataset" / name / chosen.track.stem_file(name, stem)


def finished(output: Path, chosen: recipe.Recipe, name: str) -> bool:
    """Whether all stems of a song are there, as long as its mixture."""
    expected = soundfile.info(mixture(output, chosen, name)).frames
    folder = output / "predictions" / name
    files = [folder / chosen.track.stem_file(name, stem) for stem in chosen.track.stems]
    return all(file.is_file() and soundfile.info(file).frames == expected for file in files)


def separate(
    lengths_s: Mapping[str, float], environment: Mapping[str, str], jobs: int
) -> dict[str, float]:
    """Let the wrapper separate songs in processes of their own.

    Args:
        lengths_s: length of each song, by name.
        environment: what the server would set.
        jobs: songs at a time.

    Returns:
        Seconds that each song took, without loading the model.
    """
    spent_s: dict[str, float] = {}
    total_s = sum(lengths_s.values())
    show = progress.bar(environment[tracks.TRACK_VARIABLE], total_s)
    with workers(jobs, environment) as pool, show as update:
        futures = {pool.submit(work, name): name for name in lengths_s}
        for future in concurrent.futures.as_completed(futures):
            name = futures[future]
            spent_s[name] = future.result()
            update(sum(lengths_s[name] for name in spent_s))
    return spent_s


@contextlib.contextmanager
def workers(
    jobs: int, environment: Mapping[str, str]
) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Processes that separate; an interruption ends them and leaves whole files only."""
    threads = max(len(os.sched_getaffinity(0)) // jobs, 1)
    pool = concurrent.futures.ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=become_worker,
        initargs=(dict(environment), threads),
    )
    try:
        yield pool
    except BaseException:
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, signal.SIGINT)
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


def become_worker(environment: Mapping[str, str], threads: int) -> None:
    """Set up a process as the server would."""
    # A worker that is interrupted leaves without a traceback, through all its clean-ups.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    os.environ.update(environment)

    import torch

    torch.set_num_threads(threads)


@functools.cache
def wrapper() -> "AIcrowdWrapper":
    """The wrapper of this process; its model is loaded once."""
    from my_submission.aicrowd_wrapper import AIcrowdWrapper

    return AIcrowdWrapper()


def work(name: str) -> float:
    """Separate one song and return the seconds it took."""
    ready = wrapper()
    started_s = time.monotonic()
    ready.separate_music_file(name)
    return time.monotonic() - started_s


def speed(spent_s: Mapping[str, float], lengths_s: Mapping[str, float], time_limit: float) -> str:
    """One line about the time that was used, against the limit of the track."""
    if not spent_s:
        return "all songs were separated earlier"
    ratio = sum(spent_s.values()) / sum(lengths_s.values())
    slowest = max(spent_s, key=lambda name: spent_s[name] / lengths_s[name])
    worst = spent_s[slowest] / lengths_s[slowest]
    verdict = "within" if worst <= time_limit else "OVER"
    return (
        f"separated {sum(lengths_s.values()):.0f} s of audio at {ratio:.2f} x real time, "
        f"at worst {worst:.2f} x: {verdict} the limit of {time_limit} x"
    )


if __name__ == "__main__":
    sys.exit(main())
