"""One track of an evaluation: separate its songs, score the files, and print the leaderboard."""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from demixing.cli import STDOUT, board_place, contest, history_entry, note
from demixing.engine import optional, progress_bar
from demixing.engine.omissions import Omission
from demixing.errors import ConfigError
from demixing.evaluation import (
    boards,
    metrics,
    output_lock,
    report,
    report_files,
    report_json,
)
from demixing.evaluation.dataset import prepare
from demixing.evaluation.run import SAMPLE, SCORES, TABLE, Run
from demixing.evaluation.scoring import score_folder
from demixing.evaluation.songs import Song, choose, find_songs
from demixing.evaluation.summary import summarise
from demixing.machine import threads
from demixing.printing import printable
from demixing.recipes import reading, tracks
from demixing.recipes.recipe import Recipe
from demixing.schedule.budget import TIME_VARIABLE, UNLIMITED

DEVICE_VARIABLE = "DEMIX_DEVICE"
"""As in :mod:`demixing.networks.execution`, which imports torch."""

BLOCK = 1 << 16
FULL_SCALE = 1 - 2**-15
"""The largest sample in a 16-bit file."""


def evaluate(track: str, chosen: Recipe, options: argparse.Namespace) -> dict[str, Any]:
    """Separate, score and report one track.

    Returns:
        The contents of scores.json.

    Raises:
        DemixError: an argument is wrong, or a song cannot be separated.
        EvaluationError: a song cannot be scored, or the output cannot be written.
    """
    run = prepared_run(track, chosen, options)
    # Songs of the user are looked up before anything is written, the samples while it is held.
    found = choose(find_songs(options.data, track), options.songs) if options.data else None
    with output_lock.held(run.folder):
        if found is None:
            samples = contest.module("samples", "evaluating without --data")
            folder = Path(samples.folder(track, run.folder / SAMPLE))
            found = choose(find_songs(folder, track), options.songs)
        return evaluated(run, found, chosen, options)


def evaluated(
    run: Run, songs: Sequence[Song], chosen: Recipe, options: argparse.Namespace
) -> dict[str, Any]:
    """Separate, score and report the songs of a run, whose folder no other run uses.

    Returns:
        The contents of scores.json.

    Raises:
        DemixError: a song cannot be separated.
        EvaluationError: a song cannot be scored, or the output cannot be written.
    """
    absent = optional.absent(chosen)
    track = run.track
    names = [song.name for song in songs]

    # What is known is read again: another run may have ended since it was checked.
    run.begin(names, run.known(resume=options.resume), resume=options.resume)
    for song in songs:
        prepare(song, track, run.dataset)
    lengths_s = {name: run.seconds(name) for name in run.unfinished(names)}
    spent_s = separate(run, chosen, options, lengths_s)
    if options.board:
        note(board_place.admission(boards.named(options.board, track), chosen), options)
    for line in clippings(run, chosen.track, lengths_s):
        note(line, options)

    table, result = write_scores(run, names, options.metric, options.board)
    history_entry.record(run, chosen, options, result, spent_s)
    if options.json != STDOUT:
        without = f" without {', '.join(absent)}" if absent else ""
        data = printable(str(options.data or "samples"))
        print(f"{track.upper()}, recipe {chosen.name!r}{without}, {data}")
        pace = speed(spent_s, lengths_s, run.limit, chosen.track.time_limit)
        print(f"{table}\n{pace}\n")
    return result


def prepared_run(track: str, chosen: Recipe, options: argparse.Namespace) -> Run:
    """Check everything before anything is changed.

    Raises:
        ConfigError: the data are inside the output.
        EvaluationError: the output folder contains something else.
    """
    # Not as it is written: songs that were separated before a file was fetched are not resumed.
    used = optional.resolved(chosen, optional.absent(chosen))
    run = Run(
        folder=options.output / track,
        track=track,
        recipe=chosen.name,
        recipe_sha256=hashlib.sha256(repr(used).encode()).hexdigest(),
        data=str(options.data.resolve()) if options.data else "samples",
        limit=time_limit(chosen.track, kept=options.limit),
    )
    run.known(resume=options.resume)
    if options.data and options.data.resolve().is_relative_to(run.folder.resolve()):
        raise ConfigError(f"--data {options.data} is inside {run.folder}; choose another --output")
    return run


def time_limit(track: tracks.Track, *, kept: bool) -> str:
    """The time limit of a song, as a value of the environment variable.

    Args:
        track: has the grader's limit.
        kept: whether there is a limit.
    """
    if not kept:
        return UNLIMITED
    return os.environ.get(TIME_VARIABLE) or str(track.time_limit)


def separate(
    run: Run,
    chosen: Recipe,
    options: argparse.Namespace,
    lengths_s: Mapping[str, float],
) -> dict[str, float]:
    """Separate songs of a run; return the seconds that each one took.

    Args:
        run: contains the songs in the grader's layout.
        chosen: the recipe.
        options: of the command.
        lengths_s: length of each song, by name.

    Raises:
        SongError: a song cannot be separated.
        OutputError: its stems cannot be written.
    """
    source = options.recipe or chosen.name

    def finish(name: str, omissions: Iterable[Omission]) -> None:
        run.finish(name, plain(omissions))

    if not contest.here():
        from demixing.cli import in_process  # imports torch

        return in_process.separate(
            lengths_s, run, chosen.track, chosen, finish, quiet=options.quiet
        )
    workers = contest.module("my_submission.workers", "`demixing evaluate`")
    level = logging.getLogger().getEffectiveLevel()
    environment = worker_environment(run, source, options.jobs, options.device)
    spent_s: dict[str, float] = workers.separate(
        lengths_s, environment, options.jobs, finish, level=level, quiet=options.quiet
    )
    return spent_s


def worker_environment(
    run: Run, recipe_name: str, jobs: int, device: str | None = None
) -> dict[str, str]:
    """Environment of a worker: the server's variables, the time limit, and its share of threads.

    Args:
        run: the run whose songs are separated.
        recipe_name: name or path of a recipe.
        jobs: songs at a time, which share the processors.
        device: for networks; None: the worker chooses.
    """
    result = {
        "AICROWD_DATASET_DIR": str(run.dataset),
        "AICROWD_PUBLIC_SHARED_DIR": str(run.folder),
        tracks.TRACK_VARIABLE: run.track,
        reading.RECIPE_VARIABLE: recipe_name,
        TIME_VARIABLE: run.limit,
    }
    if device is not None:
        result[DEVICE_VARIABLE] = device
    if jobs > 1:
        result |= threads.environment(max(threads.chosen() // jobs, 1))
    return result


def clippings(run: Run, track: tracks.Track, names: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each song with a stem that is clipped although its reference is not.

    Args:
        run: contains the references and estimates.
        track: of the run.
        names: of the songs.
    """
    if not names:
        return
    for song in find_songs(run.dataset, run.track):
        if song.name not in names:
            continue
        counts = {
            stem: clipped(run.predictions / song.name / track.stem_file(song.name, stem), reference)
            for stem, reference in song.stems.items()
        }
        listed = [f"{stem} ({count} samples)" for stem, count in counts.items() if count]
        if listed:
            what = "its 16-bit files are clipped, unlike the true stems"
            yield f"{song.name}: {what}: {', '.join(listed)}"


def clipped(estimate: Path, reference: Path) -> int:
    """Count the samples of an estimate at full scale; 0 if the reference is as loud.

    Args:
        estimate: a 16-bit file.
        reference: a file of any depth.
    """
    count = at_full_scale(estimate)
    return count if count and not at_full_scale(reference) else 0


def at_full_scale(path: Path) -> int:
    """Count the samples of a file at or above 16-bit full scale."""
    # Read as floats: libsndfile does not scale float files when it reads integers.
    blocks = soundfile.blocks(os.fsencode(path), BLOCK, dtype="float32", always_2d=True)
    return sum(int(np.count_nonzero(np.abs(block) >= FULL_SCALE)) for block in blocks)


def write_scores(
    run: Run, names: Sequence[str], wanted: Sequence[str] = (), board: str | None = None
) -> tuple[str, dict[str, Any]]:
    """Score the songs of a run, and write the scores to its folder.

    Args:
        run: the run.
        names: of the songs.
        wanted: names of metrics besides the official one.
        board: a board on which the official mean is placed.

    Returns:
        The printed table, with lines about the place, and the contents of scores.json.
    """
    official, *further = metrics.expand([metrics.OFFICIAL, *wanted])
    scores = score_folder(run.dataset, run.predictions, run.track, names, further=further)
    summary = summarise(scores, run.track)
    omissions = run.omissions(names)
    said = {name: [str(Omission(**one)) for one in of] for name, of in omissions.items()}
    result = report_json.contents(summary, official, omissions, further)
    place = board_place.described(board, result)
    report_files.write_report(run.folder / SCORES, report_json.json_text(result))
    csv = report.csv_report(summary, [official, *further], said)
    report_files.write_report(run.folder / TABLE, csv)
    tables = [report.text_table(summary, metric, said) for metric in (official, *further)]
    return "\n".join(part for part in (*tables, place) if part), result


def plain(omissions: Iterable[Omission]) -> list[report_json.Omission]:
    """Convert omissions to the evaluator's type, since it must not depend on recipes."""
    return [report_json.Omission(member=o.member, part=o.part, reason=o.reason) for o in omissions]


def speed(
    spent_s: Mapping[str, float], lengths_s: Mapping[str, float], limit: str, contest_limit: float
) -> str:
    """Two lines about the time taken and the contest's limit.

    Args:
        spent_s: seconds taken by each song.
        lengths_s: length of each song.
        limit: the enforced limit, or :data:`UNLIMITED`.
        contest_limit: seconds of computation per second of audio.
    """
    if not spent_s:
        return "all songs were separated earlier"
    ratio = sum(spent_s.values()) / sum(lengths_s.values())
    worst = max(spent_s[name] / lengths_s[name] for name in spent_s)
    pace = progress_bar.in_real_time(1 / ratio)
    if limit == UNLIMITED:
        rule = f"the contest allows {contest_limit} x, which was not enforced here"
    else:
        rule = f"the limit of {limit} x was enforced"
    return (
        f"separated {sum(lengths_s.values()):.0f} s of audio {pace}; "
        f"the slowest song took {worst:.2f} x its length\n({rule})"
    )
