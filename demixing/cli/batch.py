"""``batch``: songs of a folder, a list or a bucket, on one machine or many.

``batch separate`` and ``batch teach`` write stems, ``batch score`` scores them, and ``batch
manifest`` lists what was done. The same command, run again, does what is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from demixing.cli import bar, batch_options, console, note
from demixing.cli.batch_options import Batch
from demixing.errors import OutputError
from demixing.printing import one_line

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers
    from demixing.cluster.catalogue import Item
    from demixing.cluster.manifest import Manifest
    from demixing.cluster.work import Outcome
    from demixing.engine.progress import Progress

FAILED = 1
"""Exit status if some songs failed: the same command may succeed for them later."""


def add(commands: Subparsers) -> None:
    """Add the command's parser, with one below it for each kind of batch."""
    parser = commands.add_parser(
        "batch",
        description="Work on many songs, on one machine or many. Results appear complete or not "
        "at all, and are kept: run the same command again to do what is missing. The status is 0 "
        "if all songs are done, 1 if some failed, 2 if the command is wrong.",
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, add_kind in batch_options.KINDS.items():
        add_kind(kinds, kind)


def run(options: argparse.Namespace) -> int:
    """Do a batch, or list what was done."""
    if options.kind == batch_options.MANIFEST:
        return _list(options)
    batch = batch_options.chosen(options)
    note(batch.advice, options)
    if batch.shard.count > 1:
        part = f"shard {options.shard}: {len(batch.items)} of {batch.all_songs} songs"
        note(part, options)
    counts = _work(batch, options)
    note(_summary(counts), options)
    if batch.shard.count > 1:
        command = shlex.join(["demixing", "batch", "manifest", options.output])
        note(f"when all shards are done: {command}", options)
    else:
        found = _written(batch.job.destination)
        _tell_manifest(found, options)
        _compare(found, batch, options)
    return FAILED if counts["failed"] else 0


def _compare(found: Manifest, batch: Batch, options: argparse.Namespace) -> None:
    """Compare the manifest with the songs.

    Raises:
        OutputError: songs are not there, although they were done.
    """
    known, songs = found.songs(), {one.name for one in batch.items}
    if lost := sorted(songs - known):
        raise OutputError(
            f"{len(lost)} of {len(songs)} songs have no record at {batch.job.destination!r}, such "
            f"as {lost[0]!r}: expected a folder or bucket that all workers share, and one "
            "command at a time"
        )
    if more := sorted(known - songs):
        note(
            f"in the manifest, but not in SOURCE: {len(more)}, such as {more[0]!r}; they were "
            "removed or have another name now, and their results stay",
            options,
        )


def _work(batch: Batch, options: argparse.Namespace) -> dict[str, int]:
    """Do all songs; return the number of songs by what became of them."""
    from demixing.cluster import batch as cluster

    counts = {"done": 0, "there": 0, "failed": 0}
    started_s, results = time.monotonic(), sys.stdout
    # Ray prints messages about its machines to stdout, which is for results.
    with bar("songs", quiet=options.quiet) as report, contextlib.redirect_stdout(sys.stderr):
        for item, outcome in cluster.run(batch.items, batch.job, batch.execution):
            counts[outcome.status] += 1
            if outcome.error:
                console.complain(f"{item.name}: {outcome.error}")
            if line := _line(item, outcome, batch.job.destination, as_json=options.json):
                print(line, file=results, flush=True)
            share = sum(counts.values()) / len(batch.items)
            report(_progress(share, time.monotonic() - started_s))
    return counts


def _progress(share: float, elapsed_s: float) -> Progress:
    """How far all songs together are."""
    from demixing.engine.progress import SEPARATING, Progress

    left_s = elapsed_s * (1 - share) / share
    return Progress(stage=SEPARATING, done=share, elapsed_s=elapsed_s, remaining_s=left_s)


def _line(item: Item, outcome: Outcome, destination: str, *, as_json: bool) -> str:
    """The line that is printed for a song; empty if there is none."""
    if as_json:
        return json.dumps(_as_json(item, outcome, destination))
    return one_line(f"{destination}/{item.name}") if outcome.status == "done" else ""


def _as_json(item: Item, outcome: Outcome, destination: str) -> dict[str, Any]:
    """Plain values of a result."""
    result = None if outcome.error else f"{destination}/{item.name}"
    return {
        "name": item.name,
        "source": item.address,
        "status": outcome.status,
        "result": result,
        "error": outcome.error or None,
    }


def _summary(counts: dict[str, int]) -> str:
    """One line about all songs."""
    parts = [f"{counts['done']} done"]
    parts += [f"{counts['there']} were done already"] if counts["there"] else []
    parts += [f"{counts['failed']} failed"] if counts["failed"] else []
    return "songs: " + ", ".join(parts)


def _list(options: argparse.Namespace) -> int:
    """Write the manifest of a destination."""
    found = _written(batch_options.reachable(options.output))
    _tell_manifest(found, options)
    return FAILED if found.failed else 0


def _written(destination: str) -> Manifest:
    """Write the manifest of a destination."""
    from demixing.cluster import manifest

    return manifest.write(destination)


def _tell_manifest(found: Manifest, options: argparse.Namespace) -> None:
    """Say what a manifest contains, and print the mean scores, if there are any."""
    note(
        f"manifest: {len(found.done)} done, {len(found.failed)} failed",
        options,
    )
    means = found.means()
    if means and not getattr(options, "json", False):
        for line in _table(means):
            print(line)


def _table(means: dict[str, float]) -> Sequence[str]:
    """Lines of mean scores in dB."""
    return [f"{one_line(name)}\t{value:.3f}" for name, value in means.items()]
