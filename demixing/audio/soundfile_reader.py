"""Reads WAV, FLAC, AIFF and their kin with libsndfile."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from demixing.audio import SongFormat, headers, ogg
from demixing.audio.headers import Header
from demixing.audio.reader import Warn, clock, shorter
from demixing.audio.refusals import READ_ERRORS, cause
from demixing.errors import SongError

ELSEWHERE = {
    *("MP3", "OGG"),  # see coded(), which recognises most of them earlier
    *(
        "MPEG_LAYER_I",
        "MPEG_LAYER_II",
        "MPEG_LAYER_III",
        "ALAC_16",
        "ALAC_20",
        "ALAC_24",
        "ALAC_32",
    ),
    "VOC",
}
"""Formats and encodings of libsndfile that FFmpeg reads better: coded audio in other containers has
a wrong length, and stereo VOC wrong samples."""

WIDTHS_BYTES = {
    "PCM_S8": 1,
    "PCM_U8": 1,
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
}
"""Bytes of a sample, by libsndfile's names of encodings."""

UNKNOWN_FRAMES = (1 << 63) - 1
"""The length that libsndfile reports for a FLAC file that was written to a pipe."""


class SoundfileReader:
    """See :class:`demixing.audio.reader.Reader`.

    Args:
        path: of the file.
        header: of the file; None if its container has none that can be compared.

    Raises:
        OSError, soundfile.LibsndfileError: libsndfile cannot read it.
    """

    def __init__(self, path: Path, header: Header | None) -> None:
        self._path, self._header = path, header
        with self._opened() as file:
            self.form = SongFormat(
                sample_rate_hz=file.samplerate, channels=file.channels, frames=self._frames(file)
            )
            self.suits = (
                not ELSEWHERE & {file.format, file.subtype} and file.frames != UNKNOWN_FRAMES
            )
            """Whether libsndfile reads all of such a file."""

    @contextlib.contextmanager
    def _opened(self) -> Iterator[soundfile.SoundFile]:
        """Open the file; by number, because libsndfile guesses formats from names."""
        with (
            self._path.open("rb", buffering=0) as raw,
            soundfile.SoundFile(raw.fileno(), closefd=False) as file,
        ):
            yield file

    def _frames(self, file: soundfile.SoundFile) -> int:
        """Samples to read: libsndfile reads what follows the audio of a W64 file as audio, too."""
        width_bytes = file.channels * WIDTHS_BYTES.get(file.subtype, 0)
        declared_bytes = self._header.declared_bytes if self._header else None
        if not width_bytes or not declared_bytes:
            return int(file.frames)
        return int(min(file.frames, declared_bytes // width_bytes))

    def blocks(self, frames: int, warn: Warn) -> Iterator[Tensor]:
        """See :meth:`demixing.audio.reader.Reader.blocks`."""
        done, total = 0, self.form.frames
        try:
            with self._opened() as file:
                while len(block := file.read(min(frames, total - done), "float32", always_2d=True)):
                    done += len(block)
                    yield torch.from_numpy(np.ascontiguousarray(block.T))
                if self._header is None:
                    self._warn_of_the_rest(file, warn)
        except READ_ERRORS as error:
            rate_hz = self.form.sample_rate_hz
            start, stop = clock(done / rate_hz), clock(min(done + frames, total) / rate_hz)
            raise SongError(
                f"expected {total} samples in {self._path}, but it is damaged between {start} and "
                f"{stop}: {cause(error)}"
            ) from error
        if done < total:
            warn(shorter(total, done))

    def _warn_of_the_rest(self, file: soundfile.SoundFile, warn: Warn) -> None:
        """Warn if something follows the last sample; libsndfile has read up to there."""
        position = os.lseek(file.name, 0, os.SEEK_CUR)
        with self._path.open("rb") as raw:
            unread_bytes = headers.unread(raw, position, raw.seek(0, os.SEEK_END))
        if unread_bytes:
            warn(
                f"{unread_bytes} bytes after the {self.form.frames} samples of its header were not "
                "read; was another file appended?"
            )


def coded(path: Path) -> bool:
    """Whether a file is MP3 or Ogg, which FFmpeg reads better.

    libsndfile ends at the first joint of files that were joined, believes the first frames of an
    MP3 file about its length, ends at damage, and prints lines of its own.
    """
    with path.open("rb") as file:
        file.seek(headers.after_id3(file))
        head = file.read(4)
    return head == ogg.MAGIC or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0)
