"""Render songs or clips with known stems out of Debian packages.

    python -m training render mdx --split valid --songs 24 --out DIR
    python -m training render cdx --split train --hours 3 --jobs 2 --format wav --out DIR

The folders of the pieces go to stdout. Nothing heavy is imported before there is something to do.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.errors import ConfigError

if TYPE_CHECKING:
    from demixing.rendering.corpus import Maker

SONG_S, CLIP_S = 30.0, 20.0
PIECES = {"mdx": "songs", "cdx": "clips"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    tracks = parser.add_subparsers(dest="track", required=True)
    mdx = tracks.add_parser(
        "mdx",
        help="songs with vocals, drums, bass and other",
        description="Write OUT/song_NNN/STEM.flac, 44.1 kHz stereo, and print the folders. "
        "Songs that are there already are left alone, so a run can be interrupted.",
    )
    _add_common(mdx, "song", ("train", "valid"), SONG_S)
    mdx.add_argument(
        "--generation",
        type=int,
        choices=(1, 2),
        help="1: a plain band; 2: drum kits, synthesisers, distortion and more "
        "(2 for train, and 1 for valid, on which recipes were fitted)",
    )
    mdx.add_argument(
        "--modules",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of the songs to make of tracker modules, which needs libopenmpt (0)",
    )
    cdx = tracks.add_parser(
        "cdx",
        help="clips with dialog, effect and music",
        description="Write OUT/clip_NNN/STEM.flac, 44.1 kHz stereo, and print the folders. "
        "Clips that are there already are left alone, so a run can be interrupted.",
    )
    _add_common(cdx, "clip", ("train", "valid", "test"), CLIP_S)


def _add_common(
    parser: argparse.ArgumentParser, kind: str, splits: tuple[str, ...], duration_s: float
) -> None:
    """Describe what both tracks have."""
    parser.add_argument("--split", choices=splits, required=True)
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument(
        f"--{kind}s", dest="pieces", type=int, metavar="N", help=f"how many {kind}s OUT shall hold"
    )
    size.add_argument("--hours", type=float, help="how long they shall be altogether, instead")
    parser.add_argument(
        "--seconds",
        type=float,
        default=duration_s,
        help=f"length of a {kind} ({duration_s:g})",
    )
    parser.add_argument(
        "--packages",
        type=Path,
        default=Path("/"),
        metavar="DIR",
        help="holds unpacked Debian packages, DIR/PACKAGE/usr/...; others must be installed",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="OUT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes at work (1)")
    parser.add_argument(
        "--format",
        choices=("flac", "wav"),
        default="flac",
        help="of the files, 16 bits each: wav is read faster, flac takes half the space (flac)",
    )


def run(options: argparse.Namespace) -> Iterator[str]:
    """Render pieces and yield where each is.

    Raises:
        ConfigError: a number is out of range, or a package or a program is missing.
        OutputError: the pieces cannot be written.
    """
    pieces = _pieces(options)
    from demixing.rendering import corpus

    maker = _maker(options)
    made = corpus.render(maker, options.out, pieces, jobs=options.jobs, form=options.format)
    yield from map(str, made)


def _pieces(options: argparse.Namespace) -> int:
    """How many pieces are wanted.

    Raises:
        ConfigError: a number is out of range.
    """
    what = "--hours" if options.pieces is None else f"--{PIECES[options.track]}"
    amount = options.hours if options.pieces is None else options.pieces
    good = 0 < amount <= 1_000_000 and 5 <= options.seconds <= 600
    if not good or options.seed < 0 or options.jobs < 1:
        raise ConfigError(
            f"expected {what} and --jobs of more than 0, --seconds from 5 to 600 and --seed of at "
            f"least 0, got {amount:g}, {options.jobs}, {options.seconds:g} and {options.seed}"
        )
    of_hours = math.ceil((options.hours or 0) * 3600 / options.seconds)
    return of_hours if options.pieces is None else int(options.pieces)


def _maker(options: argparse.Namespace) -> "Maker":
    """Get ready to make pieces of the track."""
    what = (options.split, options.seconds, options.seed, options.packages)
    if options.track == "cdx":
        from demixing.rendering import cdx

        return cdx.clips(*what)
    from demixing.rendering import mdx

    return mdx.songs(*what, generation=options.generation, modules=options.modules)
