"""The options of ``batch``, and what they choose: songs, a task, and how it is executed."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demixing.cli import arguments, separate
from demixing.cli.jobs import DEVICE_VARIABLE
from demixing.cli.songs import AUDIO
from demixing.errors import ConfigError

if TYPE_CHECKING:
    from demixing.cluster.batch import Execution
    from demixing.cluster.catalogue import Item
    from demixing.cluster.shards import Shard
    from demixing.cluster.tasks import Task
    from demixing.cluster.work import Job

MANIFEST = "manifest"
TEACH_FORMATS = ("flac", "wav")
"""Formats that training reads."""

GB = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a command does.

    Attributes:
        items: the songs of its shard.
        job: what is done with them.
        execution: with how many workers, and where they run.
        shard: its part of the catalogue.
        all_songs: number of songs of all shards.
        advice: about members of the recipe that are not installed; empty if none.
    """

    items: list[Item]
    job: Job
    execution: Execution
    shard: Shard
    all_songs: int
    advice: str = ""


def add_separate(kinds: Any, kind: str) -> None:
    """Add the parser of ``batch separate``."""
    parser = kinds.add_parser(
        kind,
        description="Write the stems of each song to DIR/NAME/STEM.wav; NAME is the path of the "
        "song in SOURCE, without its suffix.",
        help="write the stems of songs",
    )
    _add_source(parser, "songs")
    _add_recipe(parser)
    parser.add_argument(
        "--format", choices=separate.FORMATS, default="wav", help="file format of the stems"
    )
    separate.add_sample_format(parser)
    _add_execution(parser)


def add_teach(kinds: Any, kind: str) -> None:
    """Add the parser of ``batch teach``."""
    parser = kinds.add_parser(
        kind,
        description="Write a teacher's stems as a data set for training: DIR/NAME/STEM.flac, all "
        "songs in one folder.",
        help="write a teacher's stems as a data set for training",
    )
    _add_source(parser, "songs")
    _add_recipe(parser)
    parser.add_argument(
        "--format", choices=TEACH_FORMATS, default="flac", help="file format of the stems"
    )
    parser.add_argument(
        "--bits",
        choices=("16", "24", "32f"),
        help="sample format (default: 16 in FLAC, 32f in WAV, which keeps peaks above full scale)",
    )
    _add_execution(parser)


def add_score(kinds: Any, kind: str) -> None:
    """Add the parser of ``batch score``."""
    parser = kinds.add_parser(
        kind,
        description="Score separated songs as AIcrowd's leaderboard does, into "
        "DIR/NAME/scores.json, and print the mean of each stem.",
        help="score separated songs",
    )
    _add_source(parser, "true stems, a folder per song")
    parser.add_argument(
        "--estimates",
        required=True,
        metavar="ADDRESS",
        help="folder or bucket with the separated stems, in folders of the same names",
    )
    parser.add_argument(
        "--track", choices=("mdx", "cdx"), default="mdx", help="music or film sound"
    )
    arguments.add_metrics(parser, "metrics besides the official SDR", [])
    _add_execution(parser)


def add_manifest(kinds: Any, kind: str) -> None:
    """Add the parser of ``batch manifest``."""
    parser = kinds.add_parser(
        kind,
        description="Write DIR/manifest.jsonl, a line for each song that is done or failed, from "
        "the records of all shards. The status is 1 if songs failed.",
        help="list what was done",
    )
    parser.add_argument("output", metavar="DIR", help="folder or bucket of the results")


KINDS: dict[str, Callable[[Any, str], None]] = {
    "separate": add_separate,
    "teach": add_teach,
    "score": add_score,
    MANIFEST: add_manifest,
}


def _add_source(parser: argparse.ArgumentParser, what: str) -> None:
    """Add where songs come from and where results go."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help=f"{what}: a folder, a list (.txt, .csv or .jsonl), or a bucket such as s3://NAME/PATH",
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="DIR",
        help="folder or bucket of the results",
    )


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add what is done with songs."""
    arguments.add_recipe(parser)
    arguments.add_checkpoint(parser)
    arguments.add_stems(parser)
    separate.add_choices(parser)
    arguments.add_device(parser)


def _add_execution(parser: argparse.ArgumentParser) -> None:
    """Add how it is executed."""
    parser.add_argument(
        "--shard",
        metavar="I/N",
        default="0/1",
        help="only part I of N, from 0 to N-1: for array jobs, which need no Ray",
    )
    parser.add_argument(
        "--jobs", type=_count, default=1, metavar="N", help="songs at a time on this machine"
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="use a Ray cluster: HOST:PORT of its head, auto if this machine belongs to it, or "
        "local for one that is started here (default: no Ray)",
    )
    parser.add_argument(
        "--cpus", type=_count, default=1, metavar="N", help="on Ray: processors of a worker"
    )
    parser.add_argument(
        "--gpus",
        type=_share,
        default=0.0,
        metavar="X",
        help="on Ray: GPUs of a worker, such as 0.5 (default: 0)",
    )
    parser.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="on Ray: workers at most (default: as many as there is room for)",
    )
    parser.add_argument(
        "--tries",
        type=_count,
        default=3,
        metavar="N",
        help="how often a song is tried whose worker is lost or whose store does not answer; "
        "before a further try for the store it waits, first 5 s, then longer, at most 5 minutes",
    )
    parser.add_argument(
        "--most-gb",
        type=_size,
        default=4.0,
        metavar="GB",
        help="size of a song's file in a bucket at most",
    )
    parser.add_argument(
        "--replace", action="store_true", help="replace results of another recipe or format"
    )
    arguments.add_json(parser, "print one JSON object per song, each on a line")


def _count(word: str) -> int:
    """A whole number of at least 1."""
    if not word.isdecimal() or not 1 <= int(word) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {word!r}")
    return int(word)


def _share(word: str) -> float:
    """A number of GPUs."""
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 64:
        raise argparse.ArgumentTypeError(f"expected a number of GPUs, such as 0.5, got {word!r}")
    return value


def _size(word: str) -> float:
    """A size in GB."""
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value <= 10_000:
        raise argparse.ArgumentTypeError(f"expected a size in GB, such as 4, got {word!r}")
    return value


def chosen(options: argparse.Namespace) -> Batch:
    """Decide what a command does; claims the destination, and changes nothing else.

    Raises:
        DemixError: options do not go together, or an address cannot be used.
    """
    from demixing.cli.main import version
    from demixing.cluster import catalogue, names, shards, tasks
    from demixing.cluster.work import Job, results

    shard = shards.parse(options.shard)
    if shard.count > 1 and options.ray:
        raise ConfigError("--ray divides the songs itself: leave out --shard, or --ray")
    task, advice = _task(options)
    destination = reachable(options.output)
    items = _items(options)
    check_apart(options, destination)
    names.check_places([one.name for one in items], results(task))
    job = Job(
        task=task,
        fingerprint=tasks.claim(destination, tasks.described(task), replace=options.replace),
        destination=destination,
        version=version(),
        most_bytes=int(options.most_gb * GB),
    )
    return Batch(
        items=catalogue.part(items, shard),
        job=job,
        execution=_execution(options),
        shard=shard,
        all_songs=len(items),
        advice=advice,
    )


def _items(options: argparse.Namespace) -> list[Item]:
    """All songs of the source."""
    from demixing.cluster import catalogue
    from demixing.cluster.work import STEM_FILES

    if options.kind == "score":
        return catalogue.folders(options.source, STEM_FILES)
    items = catalogue.songs(options.source, AUDIO)
    return catalogue.flattened(items) if options.kind == "teach" else items


def reachable(address: str) -> str:
    """Return the address of a destination; see :func:`demixing.cluster.addresses.checked`.

    Raises:
        ConfigError: it is not supported, or results would end with their worker.
    """
    from demixing.cluster.addresses import checked, protocol

    if not address:
        raise ConfigError(
            "expected a folder or bucket, got an empty word (. is the current folder)"
        )
    if protocol(address) == "memory":
        raise ConfigError(
            f"expected a folder or bucket that all workers reach, got {address!r}, which is in the "
            "memory of each"
        )
    return checked(address)


def check_apart(options: argparse.Namespace, destination: str) -> None:
    """Raise if results would be taken for songs.

    Raises:
        ConfigError: the destination is the source, or in it.
    """
    from demixing.cluster.addresses import checked

    source = _followed(checked(options.source))
    if f"{_followed(destination)}/".startswith(f"{source}/"):
        raise ConfigError(
            f"expected --output outside of {options.source!r}, got {options.output!r}: the next "
            "run would take stems for songs"
        )


def _followed(address: str) -> str:
    """An address on this machine without links; others as they are."""
    from demixing.cluster.addresses import protocol

    return address if protocol(address) else os.path.realpath(address)


def _task(options: argparse.Namespace) -> tuple[Task, str]:
    """What is done with songs, and advice about what is not installed."""
    from demixing.cluster.addresses import checked
    from demixing.cluster.tasks import Task
    from demixing.engine import asked, optional
    from demixing.evaluation import metrics
    from demixing.recipes import narrowing

    if options.kind == "score":
        metrics.ready(options.metric)
        task = Task(
            kind=options.kind,
            track=options.track,
            estimates=checked(options.estimates),
            metrics=tuple(options.metric),
        )
        return task, ""
    bits, bitrate = _samples(options)
    recipe, stems = arguments.chosen_recipe(options), arguments.chosen_stems(options)
    if stems is not None:
        narrowing.check(recipe, stems)
    used = asked.prepared(recipe, stems)
    task = Task(
        kind=options.kind,
        recipe=optional.resolved(used, optional.absent(used)),
        format=options.format,
        bits=bits,
        bitrate=bitrate,
        best=options.best,
        rescale=options.rescale,
    )
    return task, optional.advice(asked.relevant(recipe, stems))


def _samples(options: argparse.Namespace) -> tuple[str, int | None]:
    """Sample format and bit rate of the stems."""
    bitrate = getattr(options, "bitrate", None)
    separate.check_format(options.format, options.bits, bitrate)
    if options.kind == "teach" and options.format == "flac":
        return options.bits or "16", None
    return options.bits or separate.LOSSLESS_BITS.get(options.format, ("32f",))[0], bitrate


def _execution(options: argparse.Namespace) -> Execution:
    """How it is executed."""
    from demixing.cluster.batch import Execution
    from demixing.cluster.on_ray import Resources

    device = getattr(options, "device", None)
    if device is None and options.ray and not options.gpus:
        device = "cpu"  # other workers may use the machine's GPUs
    return Execution(
        jobs=options.jobs,
        ray=options.ray,
        resources=Resources(cpus=options.cpus, gpus=options.gpus, workers=options.workers),
        tries=options.tries,
        environment={} if device is None else {DEVICE_VARIABLE: device},
    )
