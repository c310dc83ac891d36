"""Separates an audio file into stem files."""

import logging
from collections.abc import Mapping
from pathlib import Path

from demixing import audio
from demixing.audio import encoders
from demixing.audio.files import read_blocks, song_format, whole_files, write_stems
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
) -> None:
    """Separate one file in constant memory. Either all stems are written, complete, or none.

    Args:
        demixer: separates the song.
        song: an audio file.
        paths: of the stem files, in the order of the recipe's outputs; suffixes choose formats.
        bits: ``16``, ``24`` or ``32f``; not used by lossy formats.
        bitrate: of lossy formats, in kbit/s; None: the format's.
        replace: whether files that exist are replaced.
        best: use all test-time augmentation of the recipe, however long it takes.
        report: called with each progress event.

    Raises:
        SongError: the song cannot be read or cannot be separated.
        OutputError: the stems cannot be written.
    """
    form = song_format(song)
    audio.check_format(form.sample_rate_hz, form.channels)
    for path in paths.values():
        encoders.check(path.suffix[1:], form)
    done = 0
    with whole_files(list(paths.values()), replace=replace) as stage:
        statistics = None
        if demixer.normalises:
            statistics = measured(demixer.recipe, read_blocks(song), form.sample_rate_hz)
        stems = demixer.stream(
            read_blocks(song),
            form.sample_rate_hz,
            samples=form.frames,
            best=best,
            statistics=statistics,
            report=report,
        )
        staged = dict(zip(paths, stage, strict=True))
        for written in write_stems(stems, staged, form, bits=bits, bitrate=bitrate):
            done = written
    if done < form.frames:
        logger.warning(
            "%s: its header promises %d samples, only %d could be read", song, form.frames, done
        )
