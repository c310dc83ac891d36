"""Separates an audio file into stem files."""

import functools
import logging
from collections.abc import Mapping
from pathlib import Path

from demixing import audio
from demixing.audio import encoders
from demixing.audio.files import read_blocks, song_format, whole_files, write_stems
from demixing.audio.rescaling import rescaled
from demixing.audio.spooling import seekable
from demixing.engine.demixer import Demixer
from demixing.engine.normalisation import measured
from demixing.engine.progress import Report

logger = logging.getLogger(__name__)


def separate_file(
    demixer: Demixer,
    song: Path,
    paths: Mapping[str, Path],
    *,
    bits: str,
    bitrate: int | None = None,
    replace: bool = True,
    best: bool = False,
    report: Report | None = None,
    stream: str | None = None,
    rescale: bool = False,
) -> None:
    """Separate one file in constant memory. Either all stems are written, complete, or none.

    Args:
        demixer: separates the song.
        song: an audio file, a film, or a pipe.
        paths: of the stem files, in the order of the recipe's outputs; suffixes choose formats.
        bits: ``16``, ``24`` or ``32f``; not used by lossy formats.
        bitrate: of lossy formats, in kbit/s; None: the format's.
        replace: whether files that exist are replaced.
        best: use all test-time augmentation of the recipe, however long it takes.
        report: called with each progress event.
        stream: number of the audio stream, from 1, or its language; by default the first.
        rescale: see :mod:`demixing.audio.rescaling`.

    Raises:
        SongError: the song cannot be read or cannot be separated.
        OutputError: the stems cannot be written.
    """
    with seekable(song) as source:
        form = song_format(source, stream)
        audio.check_format(form.sample_rate_hz, form.channels)
        for path in paths.values():
            encoders.check(path.suffix[1:], form)
        first_pass = read_blocks(source, stream=stream, warn=lambda _: None)  # warned of below
        blocks = read_blocks(source, stream=stream, warn=functools.partial(_warn, song))
        with whole_files(list(paths.values()), replace=replace) as stage:
            statistics = None
            if demixer.normalises:
                statistics = measured(demixer.recipe, first_pass, form.sample_rate_hz)
            stems = demixer.stream(
                blocks,
                form.sample_rate_hz,
                samples=form.frames,
                best=best,
                statistics=statistics,
                report=report,
            )
            if rescale:
                stems = rescaled(stems, stage[0].parent)
            staged = dict(zip(paths, stage, strict=True))
            for _ in write_stems(stems, staged, form, bits=bits, bitrate=bitrate):
                pass


def _warn(song: Path, text: str) -> None:
    """Log what is wrong with a song that is separated all the same."""
    logger.warning("%s: %s", song, text)
