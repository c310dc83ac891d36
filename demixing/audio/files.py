"""Audio files: songs are read block by block, stems are written atomically."""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from demixing import atomic, audio
from demixing.audio import SongFormat, encoders
from demixing.audio.clipping import Clipping
from demixing.errors import OutputError, SongError

WAVE_ORDER = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}
"""Indices of Ogg channels in WAVE order, by number of channels. Ogg puts the centre second and the
low frequency last (Vorbis I specification, 4.3.9), and libsndfile does not reorder them."""

SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "32f": "FLOAT"}
"""libsndfile subtypes, by the command line's names of bit depths."""

WAV_LIMIT_BYTES = (1 << 32) - (1 << 16)
"""Above this, the size fields of a WAV header overflow; RF64 is the same format with wider ones."""

FLAC_CHANNELS = 8
"""Maximum number of channels of the format."""

UNKNOWN_FRAMES = (1 << 63) - 1
"""The length that libsndfile reports for a FLAC file that was written to a pipe."""

READ_ERRORS = (OSError, soundfile.LibsndfileError, TypeError)
"""Errors of soundfile for unreadable files; TypeError for ``.raw``, which has no header."""


def song_format(path: Path) -> SongFormat:
    """Read the header of an audio file.

    Raises:
        SongError: the file is missing or empty, or libsndfile cannot read it.
    """
    try:
        info = soundfile.info(os.fsencode(path))  # soundfile itself encodes names strictly
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    if info.frames == UNKNOWN_FRAMES:
        raise SongError(
            f"expected the header of {path} to give its length, which is missing "
            "if it was written to a pipe; write it again, to a file"
        )
    return SongFormat(sample_rate_hz=info.samplerate, channels=info.channels, frames=info.frames)


def read_blocks(path: Path, frames: int = audio.BLOCK) -> Iterator[Tensor]:
    """Read a song in blocks of ``(channels, samples)``, float32, channels in WAVE order.

    Raises:
        SongError: the file cannot be opened, or its data is damaged.
    """
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            ogg = file.subtype in ("VORBIS", "OPUS")
            order = WAVE_ORDER.get(file.channels) if ogg else None
            while len(block := file.read(frames, dtype="float32", always_2d=True)):
                ordered = block[:, order] if order else block
                yield torch.from_numpy(np.ascontiguousarray(ordered.T))
    except READ_ERRORS as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> SongError:
    """Return an error that explains in one sentence why a file cannot be read."""
    try:
        size_bytes = path.stat().st_size
    except FileNotFoundError:
        return SongError(f"expected an audio file at {path}, but there is none")
    except OSError as reason:
        return SongError(f"expected an audio file at {path}, but: {reason.strerror}")
    if path.is_dir():
        return SongError(f"expected an audio file at {path}, got a folder")
    if size_bytes == 0:
        return SongError(f"expected an audio file at {path}, got an empty file")
    return SongError(
        f"expected WAV, FLAC, OGG or MP3 audio at {path}, but it cannot be read: {cause(error)}"
    )


def cause(error: Exception) -> str:
    """The message of the system or of libsndfile, without the path."""
    said = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return said.rstrip(" .") or "not all of it was written"


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
    except FileExistsError as error:
        raise OutputError(
            f"{error.filename2 or error.filename} already exists; use --overwrite to replace it"
        ) from error
    # soundfile asserts that all frames were written.
    except (OSError, soundfile.LibsndfileError, AssertionError) as error:
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
            for file, stem in zip(files, block, strict=True):
                file.write(stem.T.numpy())
            if bits != "32f" or lossy:
                clipping.count(block)
            done += block.shape[-1]
            yield done
    for path in paths.values():
        # A FLAC encoder writes its last samples on closing, and libsndfile ignores errors there.
        if not lossy and soundfile.info(os.fsencode(path)).frames != done:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
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
