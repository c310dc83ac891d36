"""Render songs or clips with known stems from Debian packages.

    demixing render mdx --split valid --songs 24 --out DIR
    demixing render cdx --split train --hours 3 --jobs 2 --format wav --out DIR

The folders of the pieces go to stdout. Heavy imports are delayed until there is something to do.
"""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import say
from demixing.errors import ConfigError
from demixing.recipes.tracks import TRACKS

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers
    from demixing.rendering.corpus import Maker

SONG_S, CLIP_S = 30.0, 20.0
PIECES = {"mdx": "songs", "cdx": "clips"}


def add(commands: "Subparsers") -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "render",
        description="Render songs or clips with known stems out of Debian packages.",
    )
    tracks = parser.add_subparsers(dest="track", required=True)
    mdx = _add_track(tracks, "mdx", "song", ("train", "valid"), SONG_S)
    mdx.add_argument(
        "--generation",
        type=int,
        choices=(1, 2),
        help="1: a plain band; 2: drum kits, synthesisers, distortion and more "
        "(default: 2 for train, and 1 for valid, which recipes were fitted on)",
    )
    mdx.add_argument(
        "--tracker-songs",
        "--modules",
        dest="tracker_share",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="fraction of the songs to make from tracker songs; needs libopenmpt "
        "(default: %(default)s)",
    )
    _add_track(tracks, "cdx", "clip", ("train", "valid", "test"), CLIP_S)


def _add_track(
    tracks: "Subparsers", track: str, kind: str, splits: tuple[str, ...], duration_s: float
) -> argparse.ArgumentParser:
    """Add the parser of a track, with the options that both tracks share."""
    parser = tracks.add_parser(
        track,
        help=f"{kind}s with {', '.join(TRACKS[track].stems)}",
        description=f"Write OUT/{kind}_NNN/STEM.flac, 44.1 kHz stereo, and print the folders. "
        f"Existing {kind}s are left alone, so an interrupted run can be continued.",
    )
    parser.add_argument("--split", choices=splits, required=True, help=f"which {kind}s to render")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument(
        f"--{kind}s", dest="pieces", type=int, metavar="N", help=f"number of {kind}s in OUT"
    )
    size.add_argument("--hours", type=float, help=f"total length of the {kind}s, instead")
    parser.add_argument(
        "--seconds",
        type=float,
        default=duration_s,
        help=f"length of a {kind} (default: %(default)g)",
    )
    parser.add_argument(
        "--packages",
        type=Path,
        default=Path("/"),
        metavar="DIR",
        help="folder of unpacked Debian packages, DIR/PACKAGE/usr/...; others must be installed "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="OUT", help=f"folder of the {kind}s"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of all random choices (default: %(default)s)"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes (default: %(default)s)"
    )
    parser.add_argument(
        "--format",
        choices=("flac", "wav"),
        default="flac",
        help="format of the 16-bit files: wav is faster to read, flac takes half the space "
        "(default: %(default)s)",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Render pieces and print the path of each.

    Raises:
        ConfigError: a number is out of range, or a package or a program is missing.
        OutputError: the pieces cannot be written.
    """
    pieces = _pieces(options)
    from demixing.rendering import corpus

    maker = _maker(options)
    made = corpus.render(maker, options.out, pieces, jobs=options.jobs, form=options.format)
    for path in made:
        say(path)
    return 0


def _pieces(options: argparse.Namespace) -> int:
    """Number of pieces to render.

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
    """Prepare to make pieces for the track."""
    what = (options.split, options.seconds, options.seed, options.packages)
    if options.track == "cdx":
        from demixing.rendering import cdx

        return cdx.clips(*what)
    from demixing.rendering import mdx

    return mdx.songs(*what, generation=options.generation, tracker_share=options.tracker_share)
