"""Separate songs into stems on the command line, and put files of weights in place.

    python -m my_submission separate SONG... -o DIR
    python -m my_submission list
    python -m my_submission plan
    python -m my_submission describe
    python -m my_submission fetch NAME...
    python -m my_submission verify
    python -m my_submission import NAME FILE

Paths of what was written go to stdout, one a line; everything else to stderr. The status is 2 if
any song failed, and then nothing of that song is left behind.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from demixing import separators, threads, tracks
from demixing.cli import complain, describe, fetch, import_, note, say, verify
from demixing.engine import progress_bar
from demixing.errors import ConfigError, DemixError, SongError
from demixing.recipes import optional, reading, recipe

COMMANDS = {"describe": describe, "fetch": fetch, "verify": verify, "import": import_}
"""Commands that are modules."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    threads.wait_passively()
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        if options.command == "list":
            return list_()
        if options.command == "plan":
            return plan_(options)
        if options.command in COMMANDS:
            run: Callable[[argparse.Namespace], int] = COMMANDS[options.command].run
            return run(options)
        return separate(options)
    except DemixError as error:
        complain(str(error))
        return 2
    except BrokenPipeError:  # whoever read our paths has gone, for example `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("stopped; songs that are finished stay", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    result = argparse.ArgumentParser(
        prog="python -m my_submission", description="Separate songs into stems."
    )
    commands = result.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "list",
        help="list separators, recipes and their optional members, one a line, tab-separated",
    )
    command = commands.add_parser(
        "plan",
        help="show what a recipe's members cost on this machine, and what is done in which time",
    )
    command.add_argument("--seconds", type=float, default=240.0, help="length of the song")
    add_recipe(command)
    for module in COMMANDS.values():
        module.add(commands)
    command = commands.add_parser(
        "separate",
        help="write the stems of each SONG to DIR/SONG/STEM.wav",
        description="Write the stems of each SONG to DIR/SONG/STEM.wav, at the song's rate and "
        "with its channels, and print their paths.",
    )
    command.add_argument("songs", nargs="+", type=Path, metavar="SONG", help="an audio file")
    command.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="where the stems go"
    )
    add_recipe(command)
    command.add_argument("--format", choices=("wav", "flac"), default="wav")
    command.add_argument(
        "--bits",
        choices=("16", "24", "32f"),
        help="depth of the samples: 32f keeps what is above full scale (default in WAV), "
        "24 is the default in FLAC",
    )
    command.add_argument(
        "--best", action="store_true", help="take all the care that the recipe knows of, and time"
    )
    command.add_argument(
        "--overwrite", action="store_true", help="replace stems that are there already"
    )
    return result


def add_recipe(command: argparse.ArgumentParser) -> None:
    """Add the options by which a recipe is chosen."""
    command.add_argument(
        "--track", choices=sorted(tracks.TRACKS), help="music or film (the recipe's, or else mdx)"
    )
    command.add_argument("--recipe", metavar="NAME|FILE", help="a name from `list` or a TOML file")


def chosen_recipe(options: argparse.Namespace) -> recipe.Recipe:
    """Read the recipe that the options choose."""
    track = tracks.by_name(options.track or "mdx")
    chosen = reading.load(options.recipe or reading.default_name(track))
    if options.track and chosen.track != track:
        raise ConfigError(
            f"recipe {chosen.name!r} is for the track {chosen.track.name!r}, not {track.name!r}"
        )
    return chosen


def plan_(options: argparse.Namespace) -> int:
    """Print what the planner does with how much time."""
    if not 1 <= options.seconds <= 100_000:
        raise ConfigError(f"expected --seconds from 1 to 100000, got {options.seconds}")
    chosen = chosen_recipe(options)
    note(optional.advice(chosen))
    from demixing.cli.plan import table  # imports torch

    print("\n".join(table(chosen, options.seconds)))
    return 0


def list_() -> int:
    """Print separators, recipes with track and boards, and whether optional members are ready."""
    for name in separators.names():
        print("separator", name, separators.summary(name), sep="\t")
    for name in reading.names():
        known = reading.load(name)
        boards = ",".join(known.boards) or "-"
        print("recipe", name, known.track.name, boards, known.summary, sep="\t")
        for member in known.members:
            if member.optional:
                print("optional", name, member.name, describe.state(member), sep="\t")
    return 0


def separate(options: argparse.Namespace) -> int:
    """Separate all songs, going on after one that fails."""
    if options.format == "flac" and options.bits == "32f":
        raise ConfigError("FLAC holds integers: choose --bits 16 or 24, or --format wav")
    bits = options.bits or {"wav": "32f", "flac": "24"}[options.format]
    chosen = chosen_recipe(options)
    jobs = plan(options.songs, options.output, chosen, options.format, options.overwrite)
    note(optional.advice(chosen))

    with progress_bar.bar(chosen.name):
        # Only now: torch takes seconds to import, and mistakes should not wait for it.
        from demixing.engine.demixer import Demixer
        from demixing.engine.separate_file import separate_file

        threads.use()
        demixer = Demixer(chosen)
    failed = 0
    for song, paths in jobs.items():
        try:
            with progress_bar.bar(song.name) as report:
                separate_file(demixer, song, paths, bits=bits, best=options.best, report=report)
        except DemixError as error:
            failed += 1
            complain(f"{song}: {error}")
            continue
        for path in paths.values():
            say(path)
    return 2 if failed else 0


def plan(
    songs: Sequence[Path], output: Path, chosen: recipe.Recipe, format_: str, overwrite: bool
) -> dict[Path, dict[str, Path]]:
    """Decide where each stem of each song goes, before anything is computed.

    Raises:
        SongError: two songs would be written to one place, or a file would be overwritten.
    """
    jobs: dict[Path, dict[str, Path]] = {}
    owners: dict[Path, Path] = {}
    # os.path's functions, unlike Path's, do not raise for names that are too long.
    inputs = {os.path.realpath(song) for song in songs}
    for song in songs:
        # "...wav" has the stem "..", which is not a name for a folder.
        folder = output / (song.name if song.stem in (".", "..") else song.stem)
        if folder in owners:
            raise SongError(
                f"{owners[folder]} and {song} would both be written to {folder}; "
                "separate them into two folders"
            )
        owners[folder] = song
        jobs[song] = {stem: folder / f"{stem}.{format_}" for stem in chosen.track.stems}
        for path in jobs[song].values():
            if os.path.realpath(path) in inputs:
                raise SongError(f"{path} is a song and a result; choose another --output")
            if os.path.lexists(path) and not overwrite:
                raise SongError(f"{path} is there already; add --overwrite to replace it")
    return jobs


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up for that, too
    sys.exit(main())
