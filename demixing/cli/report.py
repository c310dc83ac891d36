"""``report RUN...``: a page to listen to what was separated, and to see where it is wrong.

Also what ``evaluate --report`` and ``separate --report`` share with it.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import note, say
from demixing.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from demixing.cli.console import Subparsers
    from demixing.cli.targets import Targets
    from demixing.report.separated import Separation
    from demixing.report.sounds import Sound

HELP = (
    "write a page to listen to the songs: players, spectrograms, SDR by second (default: no page)"
)
DEFAULT = "report.html"
PLACES = ("auto", "embed", "beside")
"""As in :mod:`demixing.report.writing`, which imports numpy."""

LEAST_KBIT_S, MOST_KBIT_S = 32, 256


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "report",
        description="Write a page to listen to the songs of runs: players of mixture, references, "
        "estimates and errors, spectrograms, the SDR of each second. Several runs of the same "
        "songs are compared, also blind. The page needs no network.",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="a folder that `demixing evaluate` has left: OUTPUT, OUTPUT/mdx or OUTPUT/cdx",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.html",
        help=f"the page (default: {DEFAULT} in the first RUN)",
    )
    parser.add_argument(
        "--sound",
        choices=PLACES,
        default="auto",
        help="where the sound goes: into the page, or into files beside it, in FILE_files "
        "(default: into the page if it is less than 12 MB)",
    )
    parser.add_argument(
        "--bitrate",
        type=int,
        default=96,
        metavar="KBIT/S",
        help="of the sound, in stereo: Opus",
    )


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--report`` to another command."""
    parser.add_argument("--report", type=Path, metavar="FILE.html", help=HELP)


def run(options: argparse.Namespace) -> int:
    """Write the page and print its path.

    Raises:
        ConfigError: the bit rate is out of range.
        EvaluationError: a run is not complete, or the page cannot be written.
    """
    if not LEAST_KBIT_S <= options.bitrate <= MOST_KBIT_S:
        raise ConfigError(
            f"expected --bitrate from {LEAST_KBIT_S} to {MOST_KBIT_S} kbit/s, got {options.bitrate}"
        )
    target = options.output or options.runs[0] / DEFAULT
    write(options.runs, target, options, place=options.sound, kbit_s=options.bitrate)
    say(target)
    return 0


def check(target: Path | None) -> None:
    """Raise if a page clearly cannot be written; call it before long work.

    Args:
        target: of the page; None: no page is wanted.

    Raises:
        EvaluationError: it cannot be written.
        ModuleNotFoundError: a package of the extra ``report`` is not installed.
    """
    if target is None:
        return
    importlib.import_module("demixing.report.making")  # all packages that it needs
    from demixing.report import writing

    writing.check(target)


def write(
    folders: Sequence[Path],
    target: Path,
    options: argparse.Namespace,
    *,
    place: str = "auto",
    kbit_s: int = 96,
) -> None:
    """Write the page of runs.

    Raises:
        EvaluationError: a run is not complete, or the page cannot be written.
    """
    from demixing.cli import bar
    from demixing.engine.progress import SEPARATING, Progress
    from demixing.report import making

    with bar(target.name, quiet=options.quiet) as show:

        def progress(done: int, total: int, _: str) -> None:
            show(Progress(stage=SEPARATING, done=done / total))

        making.of_runs(folders, target, place=place, kbit_s=kbit_s, progress=progress)


def check_separate(options: argparse.Namespace) -> None:
    """Raise if ``separate`` cannot write its page.

    Raises:
        ConfigError: a song can only be read once.
        EvaluationError: the page cannot be written.
    """
    if options.report and any(path.is_relative_to("/dev") for path in options.songs):
        raise ConfigError("--report reads the song again, which a pipe cannot: give a file")
    check(options.report)


def write_separated(
    chosen: Targets, failed: Collection[Path], recipe: str, options: argparse.Namespace
) -> None:
    """Write the page of ``separate``, if it is wanted and there are songs.

    Args:
        chosen: the files of the stems, by song.
        failed: songs that are left out.
        recipe: that separated them.
        options: of the command.

    Raises:
        DemixError: a file cannot be read, or the page cannot be written.
    """
    songs = {song.path: stems for song, stems in chosen.items() if song.path not in failed}
    if options.report is None or not songs:
        return
    from demixing.report import making

    made = [separation(song, stems, options.stream) for song, stems in songs.items()]
    making.of_separations(made, recipe, options.report)
    tell(options.report, options)


def separation(song: Path, stems: Mapping[str, Path], stream: str | None) -> Separation:
    """A song and its stems, as sounds of one format.

    Raises:
        SongError: a file cannot be read.
    """
    from demixing.audio.files import read_blocks, song_format
    from demixing.report.separated import Separation

    form = song_format(song, stream)
    # Headers of some formats only estimate the length.
    samples = sum(block.shape[-1] for block in read_blocks(song, stream=stream, warn=silently))
    rate_hz, channels = form.sample_rate_hz, form.channels
    return Separation(
        song.stem,
        sound(song, rate_hz, channels, samples, stream),
        {stem: sound(path, rate_hz, channels, samples) for stem, path in stems.items()},
    )


def sound(
    path: Path, rate_hz: int, channels: int, samples: int, stream: str | None = None
) -> Sound:
    """The sound of any file that songs are read from.

    Args:
        path: of the file.
        rate_hz: wanted sample rate; Opus files, for example, have another one.
        channels: wanted number of channels.
        samples: wanted length.
        stream: the audio stream of films.
    """
    import torch

    from demixing.audio.files import read_blocks, song_format
    from demixing.audio.resampler import Resampler
    from demixing.report import sounds

    def blocks() -> Iterator[NDArray[np.float64]]:
        form = song_format(path, stream)
        resampler = Resampler(form.sample_rate_hz, rate_hz, form.channels)
        for block in read_blocks(path, stream=stream, warn=silently):
            yield resampler.push(block).numpy().T.astype("float64")
        rest = torch.zeros(form.channels, 0)
        yield resampler.push(rest, last=True).numpy().T.astype("float64")

    return sounds.Sound(
        rate_hz, channels, samples, lambda: sounds.evenly(blocks(), samples, channels)
    )


def silently(_: str) -> None:
    """The command has warned of damages already, when it separated the song."""


def tell(target: Path, options: argparse.Namespace) -> None:
    """Say on stderr that another command has written its page."""
    note(f"listen to the songs: {target}", options)
