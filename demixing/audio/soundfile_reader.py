"""Reads WAV, FLAC, AIFF and their kin with libsndfile."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from demixing.audio import SongFormat, headers, ogg
from demixing.audio.headers import Header
from demixing.audio.reader import Warn, shorter
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

UNKNOWN_FRAMES = (1 << 63) - 1
"""The length that libsndfile reports for a FLAC file that was written to a pipe."""


class SoundfileReader:
    """See :class:`demixing.audio.reader.Reader`.

    Args:
        path: of the file.
        header: of the file; None if its container has none that can be compared.

    Raises:
        OSError, soundfile.LibsndfileError: libsndfile cannot read it.
        TypeError: it has no header.
    """

    def __init__(self, path: Path, header: Header | None) -> None:
        self._path, self._header = path, header
        info = soundfile.info(os.fsencode(path))  # soundfile itself encodes names strictly
        self.suits = not ELSEWHERE & {info.format, info.subtype} and info.frames != UNKNOWN_FRAMES
        """Whether libsndfile reads all of such a file."""
        self.form = SongFormat(
            sample_rate_hz=info.samplerate, channels=info.channels, frames=info.frames
        )

    def blocks(self, frames: int, warn: Warn) -> Iterator[Tensor]:
        """See :meth:`demixing.audio.reader.Reader.blocks`."""
        done = 0
        try:
            with self._path.open("rb", buffering=0) as raw:
                with soundfile.SoundFile(raw.fileno(), closefd=False) as file:
                    while len(block := file.read(frames, dtype="float32", always_2d=True)):
                        done += len(block)
                        yield torch.from_numpy(np.ascontiguousarray(block.T))
                    position = raw.tell()
                self._compare(done, headers.unread(raw, position, raw.seek(0, os.SEEK_END)), warn)
        except READ_ERRORS as error:
            raise SongError(
                f"expected {self.form.frames} samples in {self._path}, but it cannot be read "
                f"after sample {done}: {cause(error)}"
            ) from error

    def _compare(self, done: int, unread_bytes: int, warn: Warn) -> None:
        """Warn unless the file contained what its header said, and nothing else."""
        header = self._header
        if header is not None:
            unread_bytes = header.unread_bytes
        if header is not None and header.truncated and header.declared_bytes:
            warn(shorter(round(done * header.declared_bytes / header.present_bytes), done))
        elif done < self.form.frames:
            warn(shorter(self.form.frames, done))
        if unread_bytes:
            warn(
                f"{unread_bytes} bytes after the {done} samples of its header were not read; "
                "was another file appended?"
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
