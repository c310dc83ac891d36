"""The command line: ``python -m training render mdx --split valid --songs 24 --out DIR``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from my_submission.errors import ConfigError, DemixError

# The rest is imported once there is something to do: --help must not wait for numpy.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; errors are one sentence and status 2."""
    options = _parser().parse_args(arguments)
    try:
        _render_mdx(options)
    except DemixError as error:
        print("error:", error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; songs that are finished stay", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training", description="Make training material."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    render = commands.add_parser("render", help="render songs with known stems")
    tracks = render.add_subparsers(dest="track", required=True)
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
    return parser


def _render_mdx(options: argparse.Namespace) -> None:
    """Render songs and print where each is."""
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
    for folder in mdx.render(job, options.songs):
        print(folder, flush=True)


if __name__ == "__main__":
    sys.exit(main())
