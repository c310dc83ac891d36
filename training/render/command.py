"""Render songs with known stems out of Debian packages.

    python -m training render mdx --split valid --songs 24 --out DIR

The folders of the songs go to stdout. Nothing heavy is imported before there is something to do.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from my_submission.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    tracks = parser.add_subparsers(dest="track", required=True)
    mdx = tracks.add_parser(
        "mdx",
        help="songs with vocals, drums, bass and other",
        description="Write OUT/song_NNN/STEM.flac, 44.1 kHz stereo, and print the folders. "
        "Songs that are there already are left alone, so a run can be interrupted.",
    )
    mdx.add_argument("--split", choices=("train", "valid"), required=True)
    mdx.add_argument("--songs", type=int, required=True, help="how many songs OUT shall hold")
    mdx.add_argument("--seconds", type=float, default=30.0, help="length of a song (30)")
    mdx.add_argument(
        "--packages",
        type=Path,
        default=Path("/"),
        metavar="DIR",
        help="holds unpacked Debian packages, DIR/PACKAGE/usr/...; others must be installed",
    )
    mdx.add_argument("--out", type=Path, required=True, metavar="OUT")
    mdx.add_argument("--seed", type=int, default=0)


def run(options: argparse.Namespace) -> Iterator[str]:
    """Render songs and yield where each is.

    Raises:
        ConfigError: a number is out of range, or a package or a program is missing.
        OutputError: the songs cannot be written.
    """
    if options.songs < 1 or not 5 <= options.seconds <= 600 or options.seed < 0:
        raise ConfigError(
            "expected --songs of at least 1, --seconds from 5 to 600 and --seed of at least 0, "
            f"got {options.songs}, {options.seconds:g} and {options.seed}"
        )
    from training.render import mdx

    job = mdx.Job(
        split=options.split,
        duration_s=options.seconds,
        seed=options.seed,
        packages=options.packages,
        output=options.out,
    )
    yield from map(str, mdx.render(job, options.songs))
