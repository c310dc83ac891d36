"""``separate SONG... -o DIR``: write the stems of songs."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from demixing import atomic
from demixing.cli import arguments, console, note, report, say, say_json, songs, targets
from demixing.cli.jobs import How, Job, one_by_one, together
from demixing.cli.targets import Targets
from demixing.engine import asked, optional
from demixing.errors import ConfigError, DemixError, SongError
from demixing.recipes import narrowing

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers

LOSSLESS_BITS = {"wav": ("32f", "24", "16"), "flac": ("24", "16")}
"""Sample formats of each format, the default first."""

LOSSY_BITRATES = {"mp3": (320, 32, 320), "m4a": (256, 32, 512), "opus": (192, 16, 510)}
"""Default, least and highest rate in kbit/s, as in :mod:`demixing.audio.encoders`: that imports
torch."""

FORMATS = (*LOSSLESS_BITS, *LOSSY_BITRATES)


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "separate",
        description="Write the stems of each SONG to DIR/SONG/STEM.wav, with the sample rate and "
        "channels of the song, and print their paths. If a song fails, the status is 2 and none "
        "of its files are kept; the others are separated all the same.",
    )
    parser.add_argument(
        "songs",
        nargs="+",
        type=song_path,
        metavar="SONG",
        help="an audio file, a film, - for standard input, or a folder, which is searched with its "
        "subfolders",
    )
    parser.add_argument(
        "--stream",
        metavar="N|LANG",
        help="the audio stream of a film: its number, from 1, or its language, such as eng; "
        "default: the first",
    )
    parser.add_argument(
        "-o", "--output", type=folder, required=True, metavar="DIR", help="where the stems go"
    )
    arguments.add_recipe(parser)
    arguments.add_checkpoint(parser)
    arguments.add_stems(parser)
    parser.add_argument("--format", choices=FORMATS, default="wav", help="file format of the stems")
    add_sample_format(parser)
    add_choices(parser)
    parser.add_argument(
        "--output-template",
        metavar="TEMPLATE",
        help="path of a stem in DIR, with {parent} (the song's folder), {name}, {stem} and {ext} "
        "(default: {name}/{stem}.{ext}, with more of the song's path where names would collide)",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="songs at a time")
    parser.add_argument("--overwrite", action="store_true", help="replace existing stems")
    parser.add_argument(
        "--resume", action="store_true", help="skip songs whose stems are all there"
    )
    arguments.add_json(
        parser,
        "print one JSON object per song, each on a line: its path, its stems' paths, its error",
    )
    parser.add_argument(
        "-0", "--null", action="store_true", help="end paths with a null byte, for xargs -0"
    )
    report.add_option(parser)


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Add ``--rescale`` and ``--best``."""
    parser.add_argument(
        "--rescale",
        action="store_true",
        help="divide a stem that exceeds full scale by 1.01 times its peak, as Demucs does "
        "(default: integers clip, with a warning)",
    )
    parser.add_argument(
        "--best",
        action="store_true",
        help="use all of the recipe's test-time augmentation: better and slower",
    )


def add_sample_format(parser: argparse.ArgumentParser) -> None:
    """Add ``--bits`` and ``--bitrate``."""
    parser.add_argument(
        "--bits",
        choices=("16", "24", "32f"),
        help="sample format: 32f (default in WAV) keeps peaks above full scale; 24 is the default "
        "in FLAC",
    )
    parser.add_argument(
        "--bitrate",
        type=int,
        metavar="KBIT/S",
        help="of a file in mp3 (default 320), m4a (default 256) or opus (default 192)",
    )


def folder(word: str) -> Path:
    """A folder named on the command line. An empty word, as of an unset variable, is refused.

    Raises:
        argparse.ArgumentTypeError: it is empty.
    """
    if not word:
        raise argparse.ArgumentTypeError(
            "expected a folder, got an empty word (. is the current folder)"
        )
    return Path(word)


def song_path(word: str) -> Path:
    """The path of a song by its word on the command line, where ``-`` is standard input."""
    return Path("/dev/stdin" if word == "-" else word)


def run(options: argparse.Namespace) -> int:
    """Separate all songs, even after a failure."""
    check(options)
    recipe, stems = arguments.chosen_recipe(options), arguments.chosen_stems(options)
    if stems is not None:
        narrowing.check(recipe, stems)
    outputs = stems or recipe.outputs
    if options.output_template is not None:
        targets.check_template(options.output_template, outputs)
    chosen = targets.targets(
        songs.found(options.songs, options.output),
        options.output,
        outputs,
        options.format,
        options.output_template,
    )
    report.check_separate(options)
    clean(chosen)
    jobs, kept = planned(chosen, overwrite=options.overwrite, resume=options.resume)
    note(optional.advice(asked.relevant(recipe, stems)), options)
    if kept:
        note(f"{kept} of {len(chosen)} songs are separated already", options)
    if not any(os.path.lexists(job.song) for job in jobs):  # nothing to load networks for
        for job in jobs:
            tell(job, SongError("no such file"), options)
        report.write_separated(chosen, {job.song for job in jobs}, recipe.name, options)
        return console.BAD_INPUT if jobs else 0
    how = How(
        recipe=asked.prepared(recipe, stems),
        bits=options.bits or LOSSLESS_BITS.get(options.format, ("32f",))[0],
        bitrate=options.bitrate,
        best=options.best,
        stream=options.stream,
        rescale=options.rescale,
    )
    # Worker processes do not have this one's standard input and pipes.
    alone = min(options.jobs, len(jobs)) == 1 or any(
        job.song.is_relative_to("/dev") for job in jobs
    )
    results = (
        one_by_one(jobs, how, quiet=options.quiet)
        if alone
        else together(jobs, how, options.jobs, device=options.device, quiet=options.quiet)
    )
    failed = set()
    with contextlib.closing(results):
        for job, error in results:
            tell(job, error, options)
            if error is not None:
                failed.add(job.song)
    report.write_separated(chosen, failed, recipe.name, options)
    return 2 if failed else 0


def check(options: argparse.Namespace) -> None:
    """Raise unless the options go together.

    Raises:
        ConfigError: they do not.
    """
    if options.jobs < 1:
        raise ConfigError(f"expected --jobs to be at least 1, got {options.jobs}")
    if options.resume and options.overwrite:
        raise ConfigError("--resume keeps stems and --overwrite replaces them: choose one")
    check_format(options.format, options.bits, options.bitrate)


def check_format(kind: str, bits: str | None, bitrate: int | None) -> None:
    """Raise unless a format has such samples, or such a bit rate.

    Args:
        kind: one of :data:`FORMATS`.
        bits: of samples; None: the default.
        bitrate: in kbit/s; None: the default.

    Raises:
        ConfigError: it does not.
    """
    if kind in LOSSY_BITRATES:
        if bits:
            raise ConfigError(f"--bits is for wav and flac; {kind} has --bitrate")
        _, least, most = LOSSY_BITRATES[kind]
        if bitrate is not None and not least <= bitrate <= most:
            raise ConfigError(
                f"expected --bitrate from {least} to {most} kbit/s for {kind}, got {bitrate}"
            )
        return
    if bitrate is not None:
        raise ConfigError(f"--bitrate is for {', '.join(LOSSY_BITRATES)}; {kind} has --bits")
    if bits and bits not in LOSSLESS_BITS[kind]:
        raise ConfigError("FLAC only stores integers: choose --bits 16 or 24, or --format wav")


def clean(chosen: Targets) -> None:
    """Remove what killed runs have left where the stems go."""
    for folder in {path.parent for paths in chosen.values() for path in paths.values()}:
        with contextlib.suppress(OSError):  # then writing says what is wrong
            atomic.clear_abandoned(folder)


def planned(chosen: Targets, *, overwrite: bool, resume: bool) -> tuple[list[Job], int]:
    """Decide which songs are separated.

    Args:
        chosen: the files of all songs.
        overwrite: replace stems that exist.
        resume: keep songs whose stems all exist, and separate those again that lack some.

    Returns:
        The jobs, and the number of songs that are kept.

    Raises:
        SongError: a file would be replaced.
    """
    jobs = []
    for song, paths in chosen.items():
        there = targets.existing(paths.values())
        if resume and len(there) == len(paths):
            continue
        if there and not (overwrite or resume):
            raise SongError(f"{there[0]} already exists; use --overwrite to replace it")
        jobs.append(Job(song=song.path, paths=paths, replace=overwrite or bool(there)))
    return jobs, len(chosen) - len(jobs)


def tell(job: Job, error: DemixError | None, options: argparse.Namespace) -> None:
    """Print the result for a song."""
    if error:
        console.complain(f"{job.song}: {str(error).replace(f' at {job.song}', '')}")
    if options.json:
        say_json(as_json(job.song, job.paths, error), indent=None)
    elif error is None:
        for path in job.paths.values():
            say(path, end=b"\0" if options.null else b"\n")


def as_json(
    song: Path, paths: Mapping[str, Path], error: DemixError | None
) -> dict[str, str | dict[str, str] | None]:
    """Plain values of a result."""
    stems = {} if error else {stem: os.fspath(path) for stem, path in paths.items()}
    return {"song": os.fspath(song), "stems": stems, "error": str(error) if error else None}
