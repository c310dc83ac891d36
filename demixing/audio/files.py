"""Audio files: songs are read block by block, stems are written atomically."""

import contextlib
import errno
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import soundfile
from torch import Tensor

from demixing import atomic, audio
from demixing.audio import SongFormat, encoders, headers, pcm
from demixing.audio.av_reader import AvReader
from demixing.audio.clipping import Clipping
from demixing.audio.headers import Header
from demixing.audio.reader import Reader, Warn
from demixing.audio.refusals import READ_ERRORS as READ_ERRORS
from demixing.audio.refusals import cause as cause
from demixing.audio.refusals import check
from demixing.audio.refusals import unreadable as unreadable
from demixing.audio.soundfile_reader import UNKNOWN_FRAMES as UNKNOWN_FRAMES
from demixing.audio.soundfile_reader import SoundfileReader, coded
from demixing.errors import OutputError, SongError

logger = logging.getLogger(__name__)

SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "32f": "FLOAT"}
"""libsndfile subtypes, by the command line's names of bit depths."""

WAV_LIMIT_BYTES = (1 << 32) - (1 << 16)
"""Above this, the size fields of a WAV header overflow; RF64 is the same format with wider ones."""

FLAC_CHANNELS = 8
"""Maximum number of channels of the format."""


def song_format(path: Path, stream: str | None = None) -> SongFormat:
    """Rate, channels and length of a song.

    Args:
        path: an audio file, or a film.
        stream: number of the audio stream, from 1, or its language; by default the first.

    Returns:
        The format; the length is an estimate where the file does not say it.

    Raises:
        SongError: the file is missing or empty, or cannot be read.
    """
    return reader(path, stream, checked_header(path)).form


def read_blocks(
    path: Path,
    frames: int = audio.BLOCK,
    *,
    stream: str | None = None,
    warn: Warn | None = None,
) -> Iterator[Tensor]:
    """Read a song in blocks of ``(channels, samples)``, float32, channels in WAVE order.

    Args:
        path: an audio file, or a film.
        frames: length of the blocks, except of the last one.
        stream: number of the audio stream, from 1, or its language; by default the first.
        warn: called with what is wrong with a file that can be read all the same; by default it is
            logged.

    Raises:
        SongError: the file cannot be opened, or its data is damaged.
    """
    note = warn or (lambda text: logger.warning("%s: %s", path, text))
    header = checked_header(path)
    done = 0
    for block in reader(path, stream, header).blocks(frames, note):
        done += block.shape[-1]
        yield block
    for text in header.losses(done) if header else ():
        note(text)


def checked_header(path: Path) -> Header | None:
    """Header of a file that may be audio; None if its container has none that can be compared.

    Raises:
        SongError: the file is missing or empty, is no audio, or cannot be read by its own header.
    """
    check(path)
    try:
        header = headers.read(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if header is not None:
        headers.check(path, header)
    return header


def reader(path: Path, stream: str | None, header: Header | None) -> Reader:
    """Choose the library that reads all of a file: libsndfile, or else FFmpeg's.

    Raises:
        SongError: neither can read it.
    """
    regular = header is None or (header.parts == 1 and not header.empty)
    if stream is None and regular and not coded(path):
        with contextlib.suppress(*READ_ERRORS):
            found = SoundfileReader(path, header)
            if found.suits:
                return found
    if header is None or not header.empty:
        return AvReader(path, stream)
    try:
        return AvReader(path, stream, magic=header.magic)
    except SongError as error:
        raise SongError(
            f"expected audio at {path}, but its header says 0 samples, although "
            f"{header.present_bytes} bytes follow; write it again with the true size"
        ) from error


@contextlib.contextmanager
def whole_files(paths: Sequence[Path], *, replace: bool = True) -> Iterator[list[Path]]:
    """Write several files atomically: all of them, or none.

    Args:
        paths: of the files, in one or several folders. Missing folders are created, and removed
            again if the files are not written.
        replace: whether files that exist are replaced. If not, one that appears meanwhile, by
            another process, is an error.

    Yields:
        The paths to write to; moved to ``paths`` when the block ends without an error.

    Raises:
        OutputError: a file cannot be written: no permission, no space, or the name is too long.
    """
    where = paths[0].parent
    made: list[Path] = []
    try:
        for path in paths:
            where = path.parent
            if path.is_dir():  # raised later, it would leave only the first stems
                raise IsADirectoryError(errno.EISDIR, f"{path.name} is a folder")
        with contextlib.ExitStack() as stack:
            stages: dict[Path, Path] = {}
            for where in dict.fromkeys(path.parent for path in paths):
                made += [parent for parent in (where, *where.parents) if not parent.exists()][::-1]
                where.mkdir(parents=True, exist_ok=True)
                stages[where] = stack.enter_context(atomic.staging(where))
            staged = [stages[path.parent] / path.name for path in paths]
            yield staged
            atomic.publish(dict(zip(staged, paths, strict=True)), replace=replace)
    # soundfile asserts that all frames were written.
    except (OSError, soundfile.LibsndfileError, AssertionError) as error:
        if isinstance(error, FileExistsError) and error.filename2:  # it appeared meanwhile
            raise OutputError(
                f"{error.filename2} already exists; use --overwrite to replace it"
            ) from error
        # libsndfile reports every error of the system as "System error".
        hint = "" if isinstance(error, OSError) else "; is the disk full?"
        raise OutputError(f"cannot write stems to {where}: {cause(error)}{hint}") from error
    finally:
        for folder in reversed(made):
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()


def write_stems(
    stems: Iterable[Tensor],
    paths: Mapping[str, Path],
    form: SongFormat,
    *,
    bits: str,
    bitrate: int | None = None,
) -> Iterator[int]:
    """Write stems block by block.

    Args:
        stems: blocks, ``(stems, channels, samples)``.
        paths: file of each stem, in the order of the first axis; ``.wav``, ``.flac``, or of a
            lossy format, see :mod:`demixing.audio.encoders`.
        form: rate, channels and expected length of the files.
        bits: a key of :data:`SUBTYPES`; not used by lossy formats.
        bitrate: of lossy formats, in kbit/s; None: the format's.

    Yields:
        Frames written so far, after each block.

    Raises:
        OutputError: the format cannot store the song, or the disk is full.
    """
    clipping = Clipping(list(paths))
    lossy = any(encoders.of(path) for path in paths.values())
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(_create(path, form, bits, bitrate)) for path in paths.values()]
        done = 0
        for block in stems:
            for file, path, stem in zip(files, paths.values(), block, strict=True):
                kept = "32f" if encoders.of(path) else bits
                file.write(pcm.frames(stem, kept, rounded=path.suffix.upper() == ".FLAC"))
            if bits != "32f" or lossy:
                clipping.count(block)
            done += block.shape[-1]
            yield done
    for path in paths.values():
        # A FLAC encoder writes its last samples on closing, and libsndfile ignores errors there.
        if not lossy and soundfile.info(os.fsencode(path)).frames != done:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if bits == "32f" and not lossy:
            headers.clear_peak_time(path)
    clipping.warn()


def _create(
    path: Path, form: SongFormat, bits: str, bitrate: int | None
) -> soundfile.SoundFile | encoders.Encoder:
    """Open one file for writing."""
    if encoders.of(path):
        return encoders.Encoder(path, form, bitrate)
    width_bytes = {"16": 2, "24": 3, "32f": 4}[bits]
    kind = path.suffix[1:].upper()
    if kind == "FLAC" and form.channels > FLAC_CHANNELS:
        raise OutputError(
            f"expected at most {FLAC_CHANNELS} channels for FLAC, got {form.channels}; choose WAV"
        )
    if kind == "WAV" and form.frames * form.channels * width_bytes > WAV_LIMIT_BYTES:
        kind = "RF64"
    return soundfile.SoundFile(
        os.fsencode(path),
        "w",
        samplerate=form.sample_rate_hz,
        channels=form.channels,
        subtype=SUBTYPES[bits],
        format=kind,
    )
