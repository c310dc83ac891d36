"""Audio files: songs are read block by block, stems appear only when they are whole."""

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from my_submission.errors import OutputError, SongError

logger = logging.getLogger(__name__)

BLOCK = 1 << 18
"""Frames that are read at a time: about 6 s."""

SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "32f": "FLOAT"}
"""Bit depths by the names that the command line has for them."""

WAV_LIMIT_BYTES = (1 << 32) - (1 << 16)
"""Above, the sizes in a WAV header overflow; RF64 is the same with wider ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SongFormat:
    """What the header of a song says.

    Attributes:
        sample_rate_hz: of the song.
        channels: of the song.
        frames: its length; good for progress and file sizes, but the data decides.
    """

    sample_rate_hz: int
    channels: int
    frames: int


def song_format(path: Path) -> SongFormat:
    """Read the header of an audio file.

    Raises:
        SongError: the file is missing, empty or not audio that libsndfile knows.
    """
    try:
        info = soundfile.info(str(path))
    except (OSError, soundfile.LibsndfileError) as error:
        raise unreadable(path, error) from error
    return SongFormat(sample_rate_hz=info.samplerate, channels=info.channels, frames=info.frames)


def read_blocks(path: Path, frames: int = BLOCK) -> Iterator[Tensor]:
    """Read a song in blocks of ``(channels, samples)``, float32.

    Raises:
        SongError: the file cannot be opened, or its data is damaged.
    """
    try:
        with soundfile.SoundFile(str(path)) as file:
            while len(block := file.read(frames, dtype="float32", always_2d=True)):
                yield torch.from_numpy(np.ascontiguousarray(block.T))
    except (OSError, soundfile.LibsndfileError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> SongError:
    """Say in one sentence why a file cannot be read."""
    if not path.exists():
        return SongError(f"expected an audio file at {path}, but there is none")
    if path.is_dir():
        return SongError(f"expected an audio file at {path}, got a folder")
    if path.stat().st_size == 0:
        return SongError(f"expected an audio file at {path}, got an empty file")
    reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
    return SongError(
        f"expected WAV, FLAC, OGG or MP3 audio at {path}, but it cannot be read: {reason}"
    )


@contextlib.contextmanager
def whole_files(folder: Path, names: Sequence[str]) -> Iterator[list[Path]]:
    """Let several files appear in ``folder`` together, whole, or not at all.

    Args:
        folder: made if it is missing; removed again if it was and nothing comes of it.
        names: of the files.

    Yields:
        Paths to write to; they are moved to their names when the block ends without an error.

    Raises:
        OutputError: a file cannot be written: no permission, no space, a name too long.
    """
    made = not folder.exists()
    stage: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # In the same folder, so that moving is atomic; a name of its own, so that the stem's
        # name may be as long as the file system allows.
        stage = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
        yield [stage / name for name in names]
        for name in names:
            (stage / name).replace(folder / name)
    # soundfile asserts that all frames were written: that is what a full disk looks like.
    except (OSError, soundfile.LibsndfileError, AssertionError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "the disk is full"
        raise OutputError(f"cannot write stems to {folder}: {reason}") from error
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def write_stems(
    stems: Iterable[Tensor],
    paths: Mapping[str, Path],
    form: SongFormat,
    *,
    bits: str,
) -> Iterator[int]:
    """Write stems as they come.

    Args:
        stems: blocks of ``(stems, channels, samples)``.
        paths: where each stem goes, in the order of the first axis; ``.wav`` or ``.flac``.
        form: rate, channels and the expected length of the files.
        bits: a key of :data:`SUBTYPES`.

    Yields:
        Frames written so far, after each block.
    """
    clipped = dict.fromkeys(paths, 0)
    peaks = dict.fromkeys(paths, 0.0)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(_create(path, form, bits)) for path in paths.values()]
        done = 0
        for block in stems:
            for file, name, stem in zip(files, paths, block, strict=True):
                file.write(stem.T.numpy())
                if bits != "32f":
                    clipped[name] += int((stem.abs() > 1).sum())
                    peaks[name] = max(peaks[name], float(stem.abs().amax()) if stem.numel() else 0)
            done += block.shape[-1]
            yield done
    for name, count in clipped.items():
        if count:
            logger.warning(
                "%s: %d samples above full scale were clipped, the peak is %.2f; "
                "--bits 32f keeps them",
                name,
                count,
                peaks[name],
            )


def _create(path: Path, form: SongFormat, bits: str) -> soundfile.SoundFile:
    """Open one file for writing."""
    width_bytes = {"16": 2, "24": 3, "32f": 4}[bits]
    kind = path.suffix[1:].upper()
    if kind == "WAV" and form.frames * form.channels * width_bytes > WAV_LIMIT_BYTES:
        kind = "RF64"
    return soundfile.SoundFile(
        str(path),
        "w",
        samplerate=form.sample_rate_hz,
        channels=form.channels,
        subtype=SUBTYPES[bits],
        format=kind,
    )
