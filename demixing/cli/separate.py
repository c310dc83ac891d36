"""``separate SONG... -o DIR``: write the stems of songs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import arguments, bar, console, note, say, say_json
from demixing.engine import optional
from demixing.errors import ConfigError, DemixError, SongError
from demixing.machine import threads
from demixing.recipes.recipe import Recipe

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers

DEFAULT_BITS = {"wav": "32f", "flac": "24"}


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "separate",
        description="Write the stems of each SONG to DIR/SONG/STEM.wav, with the sample rate and "
        "channels of the song, and print their paths. If a song fails, the status is 2 and none "
        "of its files are kept.",
    )
    parser.add_argument(
        "songs",
        nargs="+",
        type=song_path,
        metavar="SONG",
        help="an audio file, a film, or - for standard input",
    )
    parser.add_argument(
        "--stream",
        metavar="N|LANG",
        help="the audio stream of a film: its number, from 1, or its language, such as eng; "
        "default: the first",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="where the stems go"
    )
    arguments.add_recipe(parser)
    parser.add_argument(
        "--format", choices=tuple(DEFAULT_BITS), default="wav", help="file format of the stems"
    )
    parser.add_argument(
        "--bits",
        choices=("16", "24", "32f"),
        help="sample format: 32f (default in WAV) keeps peaks above full scale; 24 is the default "
        "in FLAC",
    )
    parser.add_argument(
        "--best",
        action="store_true",
        help="use all of the recipe's test-time augmentation: better and slower",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing stems")
    arguments.add_json(
        parser,
        "print one JSON object per song, each on a line: its path, its stems' paths, its error",
    )


def song_path(word: str) -> Path:
    """The path of a song by its word on the command line, where ``-`` is standard input."""
    return Path("/dev/stdin" if word == "-" else word)


def run(options: argparse.Namespace) -> int:
    """Separate all songs, even after a failure."""
    if options.format == "flac" and options.bits == "32f":
        raise ConfigError("FLAC only stores integers: choose --bits 16 or 24, or --format wav")
    bits = options.bits or DEFAULT_BITS[options.format]
    chosen = arguments.chosen_recipe(options)
    jobs = stem_paths(options.songs, options.output, chosen, options.format, options.overwrite)
    note(optional.advice(chosen), options)
    if not any(os.path.lexists(song) for song in jobs):  # nothing to load networks for
        for song in jobs:
            console.complain(f"{song}: no such file")
            tell(song, jobs[song], SongError("no such file"), as_json=options.json)
        return console.BAD_INPUT

    with bar(chosen.name, quiet=options.quiet):
        # Late import: torch takes seconds, and mistakes should be reported first.
        from demixing.engine.demixer import Demixer
        from demixing.engine.separate_file import separate_file

        threads.use()
        demixer = Demixer(chosen)
    failed = 0
    for song, paths in jobs.items():
        error: DemixError | None = None
        try:
            with bar(song.name, quiet=options.quiet) as report:
                separate_file(
                    demixer,
                    song,
                    paths,
                    bits=bits,
                    best=options.best,
                    report=report,
                    stream=options.stream,
                )
        except DemixError as raised:
            error = raised
            failed += 1
            console.complain(f"{song}: {str(error).replace(f' at {song}', '')}")
        tell(song, paths, error, as_json=options.json)
    return 2 if failed else 0


def tell(song: Path, paths: Mapping[str, Path], error: DemixError | None, *, as_json: bool) -> None:
    """Print the result for a song."""
    if as_json:
        stems = {} if error else {stem: os.fspath(path) for stem, path in paths.items()}
        line = {"song": os.fspath(song), "stems": stems, "error": str(error) if error else None}
        say_json(line, indent=None)
    elif error is None:
        for path in paths.values():
            say(path)


def stem_paths(
    songs: Sequence[Path], output: Path, chosen: Recipe, format_: str, overwrite: bool
) -> dict[Path, dict[str, Path]]:
    """Choose the path of each stem of each song, before anything is computed.

    Returns:
        For each song, the paths of its stems, in the order of the recipe's track.

    Raises:
        SongError: two songs would be written to the same folder, or a file would be overwritten.
    """
    jobs: dict[Path, dict[str, Path]] = {}
    owners: dict[Path, Path] = {}
    # Unlike Path, os.path does not raise for names that are too long.
    inputs = {os.path.realpath(song) for song in songs}
    for song in songs:
        # "...wav" has the stem "..", which is not a valid folder name.
        folder = output / (song.name if song.stem in (".", "..") else song.stem)
        if folder in owners:
            raise SongError(
                f"{owners[folder]} and {song} would both be written to {folder}; "
                "use another --output for one of them"
            )
        owners[folder] = song
        jobs[song] = {stem: folder / f"{stem}.{format_}" for stem in chosen.track.stems}
        for path in jobs[song].values():
            if os.path.realpath(path) in inputs:
                raise SongError(f"{path} is both an input and an output; choose another --output")
            if os.path.lexists(path) and not overwrite:
                raise SongError(f"{path} already exists; use --overwrite to replace it")
    return jobs
