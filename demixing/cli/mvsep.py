"""``mvsep MIXTURES -o FILE.zip``: separate a data set of MVSep's quality checker, and pack it."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from demixing import atomic
from demixing.cli import arguments, console, mvsep_names, note, say, separate, songs, targets
from demixing.cli.jobs import How, one_by_one, together
from demixing.cli.mvsep_names import DATASETS, FORMATS
from demixing.engine import asked, optional
from demixing.engine.member_weights import made_with
from demixing.errors import ConfigError, OutputError, SongError
from demixing.recipes import narrowing

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers
    from demixing.recipes.recipe import Recipe

MADE = "recipe.sha256"
"""In the folder of stems: the recipe, weights and format that made them."""


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "mvsep",
        description="Separate the mixtures of a data set of MVSep's quality checker, and pack the "
        "stems, with the names that it wants, into one archive, whose path is printed. Upload it "
        "at mvsep.com/quality_checker. Stems stay in a folder beside the archive, so that an "
        "interrupted run continues.",
    )
    parser.add_argument(
        "mixtures", type=Path, metavar="MIXTURES", help="folder of NAME_mixture.wav, as downloaded"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE.zip", help="the archive"
    )
    parser.add_argument(
        "--dataset",
        choices=list(DATASETS),
        default="multisong",
        help="which data set: decides the names of the stems, and the default recipe",
    )
    parser.add_argument(
        "--estimates",
        type=Path,
        metavar="DIR",
        help="pack existing stems, such as DIR/NAME/vocals.wav or DIR/NAME_vocals.wav, by any "
        "program; nothing is separated (default: separate)",
    )
    arguments.add_recipe(parser)
    arguments.add_checkpoint(parser)
    arguments.add_stems(parser)
    parser.add_argument(
        "--rename",
        nargs="+",
        metavar="STEM=NAME",
        help="other names of stems in the archive, should the quality checker want them (default: "
        "instrumental=instrum, dialog=speech, effect=sfx)",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default=FORMATS[0], help="of the stems that are separated"
    )
    parser.add_argument(
        "--bits", choices=("16", "24", "32f"), help="sample format (default: 16, in WAV 32f)"
    )
    parser.add_argument(
        "--best",
        action="store_true",
        help="use all of the recipe's test-time augmentation: better and slower",
    )
    parser.add_argument(
        "--unchecked",
        action="store_true",
        help="accept other names and numbers of mixtures than those of the data set",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="songs at a time")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace an existing archive, and stems that another recipe made",
    )


def run(options: argparse.Namespace) -> int:
    """Separate and pack."""
    check(options)
    from demixing.cli import mvsep_archive as archive  # imports numpy

    dataset = DATASETS[options.dataset]
    mixtures = found(options.mixtures)
    mvsep_names.check_distinct(mixtures)
    if not options.unchecked:
        mvsep_names.check_mixtures(mixtures, dataset)
    archive.check_readable(mixtures)
    suffixes = renamed(dataset.suffixes, options.rename)
    files = stems_of(mixtures, suffixes, options)
    if files is None:
        return console.BAD_INPUT
    archive.check_layouts(files)
    count = archive.pack(options.output, files, suffixes)
    size_mb = options.output.stat().st_size / 1e6
    note(f"{count} files, {size_mb:.1f} MB: upload it at mvsep.com/quality_checker", options)
    say(options.output)
    return 0


def check(options: argparse.Namespace) -> None:
    """Raise unless the options go together.

    Raises:
        ConfigError: they do not.
        OutputError: the archive exists, or cannot be written.
    """
    if options.output.suffix.lower() != ".zip":
        raise ConfigError(f"expected --output to end with .zip, got {options.output}")
    if options.jobs < 1:
        raise ConfigError(f"expected --jobs to be at least 1, got {options.jobs}")
    separate.check_format(options.format, options.bits, None)
    if options.estimates and (options.recipe or options.checkpoint or options.track):
        raise ConfigError(
            "--estimates packs existing stems: leave out --recipe, --checkpoint and --track"
        )
    if not options.output.parent.is_dir():
        raise OutputError(f"no folder {options.output.parent} for the archive; create it")
    if os.path.lexists(options.output) and not options.overwrite:
        raise OutputError(f"{options.output} already exists; use --overwrite to replace it")


def found(folder: Path) -> list[Path]:
    """The mixtures directly in a folder, or if there are none, in its only subfolder.

    Raises:
        SongError: there are none.
    """
    if not songs.is_folder(folder):
        raise SongError(f"expected a folder of mixtures, got {folder}; unpack the data set first")
    listed = audio(folder)
    inside = [one for one in sorted(folder.iterdir()) if one.is_dir()]
    if not listed and len(inside) == 1:  # archives often contain one folder
        listed = audio(inside[0])
    if not listed:
        raise SongError(f"expected wav or flac files in {folder}, found none; check the path")
    return listed


def audio(folder: Path) -> list[Path]:
    """Files in a folder that the data sets may consist of, sorted by name."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix[1:].lower() in FORMATS and not path.name.startswith(".") and path.is_file()
    ]


def renamed(suffixes: Mapping[str, str], words: Sequence[str] | None) -> dict[str, str]:
    """Names of stems in the archive.

    Args:
        suffixes: those of the data set.
        words: of ``--rename``.

    Raises:
        ConfigError: a word has another form, or two stems would have the same name.
    """
    result = dict(suffixes)
    for word in words or ():
        stem, _, name = word.partition("=")
        if not stem or not name or not name.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(f"expected --rename STEM=NAME, such as other=rest, got {word!r}")
        result[stem] = name
    return result


def chosen(suffixes: Mapping[str, str], stems: Sequence[str] | None) -> dict[str, str]:
    """The stems of ``--stems`` with their names in the archive; all if there is no such option.

    Raises:
        ConfigError: the data set has no such stem.
    """
    if stems is None:
        return dict(suffixes)
    for stem in stems:
        if stem not in suffixes:
            raise ConfigError(
                f"expected --stems of {', '.join(suffixes)}, got {stem!r}; name it with --rename "
                f"{stem}=NAME"
            )
    return {stem: suffixes[stem] for stem in stems}


def stems_of(
    mixtures: Sequence[Path], suffixes: Mapping[str, str], options: argparse.Namespace
) -> mvsep_names.Songs | None:
    """The stems of all songs: existing ones with ``--estimates``; see :func:`separated`."""
    if not options.estimates:
        return separated(mixtures, suffixes, options)
    wanted = chosen(suffixes, arguments.chosen_stems(options))
    return mvsep_names.existing(options.estimates, mixtures, wanted)


def separated(
    mixtures: Sequence[Path], suffixes: Mapping[str, str], options: argparse.Namespace
) -> mvsep_names.Songs | None:
    """Separate what is not separated yet.

    Returns:
        The stems of each song; None if songs have failed, each with a message.
    """
    recipe, stems = outputs(suffixes, options)
    folder = options.output.with_suffix("")
    wanted = targets.targets(
        [songs.Song(path) for path in mixtures], folder, stems, options.format, None
    )
    note(optional.advice(asked.relevant(recipe, stems)), options)
    how = How(
        recipe=asked.prepared(recipe, stems),
        bits=options.bits or ("16" if options.format == "flac" else "32f"),
        bitrate=None,
        best=options.best,
    )
    begin(folder, how, replace=options.overwrite)
    separate.clean(wanted)
    jobs, _ = separate.planned(wanted, overwrite=False, resume=True)
    count = min(options.jobs, len(jobs))
    results = (
        together(jobs, how, count, device=options.device, quiet=options.quiet)
        if count > 1
        else one_by_one(jobs, how, quiet=options.quiet)
    )
    failed = 0
    with contextlib.closing(results):
        for job, error in results if jobs else ():
            if error:
                console.complain(f"{job.song}: {error}")
                failed += 1
    return None if failed else {song.path: paths for song, paths in wanted.items()}


def outputs(
    suffixes: Mapping[str, str], options: argparse.Namespace
) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe, and those of its outputs that the data set has.

    Raises:
        ConfigError: there are none, or two of them would have the same name.
    """
    if not (options.recipe or options.checkpoint or options.track):
        options.track = DATASETS[options.dataset].track
    recipe = arguments.chosen_recipe(options)
    asked_for = arguments.chosen_stems(options)
    if asked_for is not None:
        chosen(suffixes, asked_for)
        narrowing.check(recipe, asked_for)
    stems = asked_for or tuple(one for one in suffixes if one in narrowing.names(recipe))
    if not stems:
        raise ConfigError(
            f"recipe {recipe.name!r} outputs {', '.join(recipe.outputs)}, and the data set "
            f"{options.dataset!r} has {', '.join(suffixes)}; choose another --recipe, or --rename"
        )
    names = [suffixes[stem] for stem in stems]
    if len({*names}) < len(names):
        raise ConfigError(f"two of {', '.join(stems)} would have one name; choose with --stems")
    return recipe, stems


def begin(folder: Path, how: How, *, replace: bool) -> None:
    """Make the folder of the stems, unless it is there from an interrupted run.

    Args:
        folder: beside the archive.
        how: the stems are made; those that were made otherwise are not mixed with these.
        replace: whether to replace others.

    Raises:
        CheckpointError: weights are missing.
        OutputError: it has other contents, or cannot be written.
    """
    settings = repr((how.recipe, made_with(how.recipe), how.bits, how.best))
    made = hashlib.sha256(settings.encode()).hexdigest()
    note_file = folder / MADE
    try:
        known = note_file.read_text(encoding="utf-8").strip() if note_file.exists() else None
        if known != made and folder.is_dir() and _contents(folder):
            if not replace or known is None:
                remedy = "use --overwrite" if known else "choose another -o"
                raise OutputError(
                    f"expected {folder} to be empty or of an interrupted run with this recipe and "
                    f"its weights as they are now, but it has other contents; {remedy}"
                )
            for path in folder.glob("*/*"):
                if path.suffix[1:] in FORMATS:
                    path.unlink()
        folder.mkdir(exist_ok=True)
        atomic.write_text(note_file, f"{made}\n")
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder} ({error.strerror}); choose another -o"
        ) from error


def _contents(folder: Path) -> list[Path]:
    """What a folder holds, without what a killed run has left unfinished."""
    return [path for path in folder.iterdir() if not path.name.startswith(atomic.UNFINISHED)]
