"""Metadata of audio files: rate, length and levels, cached in a JSON file.

The cache is written next to the data, or into a given folder, and rebuilt if it is missing, damaged
or of another version. An entry is valid while its file has the same path, size and modification
time.
"""

import functools
import hashlib
import itertools
import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from demixing import atomic
from demixing.audio.files import READ_ERRORS, UNKNOWN_FRAMES, unreadable
from demixing.errors import SongError
from demixing.evaluation import stem_file
from demixing.training.data import wav

logger = logging.getLogger(__name__)

VERSION = 1
NAME = ".songs-index.json"
FLOOR_DB = -120
"""Lowest level, that of silence."""
BLOCK_S = 8
"""Length of the blocks in which files are decoded, in seconds."""
GROUP = 256
"""The cache is first written after this many files, so that an interrupted run loses little."""


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """Metadata of one audio file.

    Attributes:
        size_bytes: size of the file.
        mtime_ns: modification time of the file.
        rate_hz: sample rate.
        channels: number of channels.
        samples: decoded samples per channel.
        levels_db: mean power over samples and channels of each second (the last second may be
            partial); rounded, and at least :data:`FLOOR_DB`.
    """

    size_bytes: int
    mtime_ns: int
    rate_hz: int
    channels: int
    samples: int
    levels_db: tuple[int, ...]


def of_files(
    paths: Iterable[Path], root: Path, cache: Path | None = None, jobs: int | None = None
) -> dict[Path, FileMetadata]:
    """Metadata of files; only files that are not in the cache are decoded.

    Args:
        paths: paths of audio files.
        root: folder of the data set, or its list of files.
        cache: folder for the cache; by default it is in ``root``. If it cannot be written, a
            warning is logged.
        jobs: number of threads; by default the number of processors.

    Raises:
        SongError: a file is damaged or is not audio.
    """
    place = place_of(root, cache)
    known = load(place)
    found: dict[Path, FileMetadata] = {}
    unknown: list[Path] = []
    for path in dict.fromkeys(paths):
        file = known.get(_key(path, root))
        if file and (file.size_bytes, file.mtime_ns) == _identity(path):
            found[path] = file
        else:
            unknown.append(path)
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        while unknown:
            # Longer groups as the cache grows, or most of the time would go into writing it.
            size = max(GROUP, len(found) // 2)
            group, unknown = unknown[:size], unknown[size:]
            found |= dict(zip(group, pool.map(decoded, group), strict=True))
            save(place, known | {_key(path, root): file for path, file in found.items()})
    return found


def decoded(path: Path) -> FileMetadata:
    """Decode a whole file, a block at a time.

    Raises:
        SongError: the file is damaged or is not audio.
    """
    size_bytes, mtime_ns = _identity(path)
    levels: list[int] = []
    samples = 0
    try:
        layout = wav.header(path)
        for audio in _blocks(path, BLOCK_S * layout.rate_hz):
            samples += len(audio)
            # Channel by channel: numpy sums the two values of each row ten times as slowly.
            channels = (np.square(one, dtype=np.float32) for one in audio.T)
            power = functools.reduce(np.add, channels) / np.float32(layout.channels)
            starts = np.arange(0, len(audio), layout.rate_hz)
            counts = np.diff(np.append(starts, len(audio)))
            levels += [level_db(mean) for mean in np.add.reduceat(power, starts) / counts]
    except READ_ERRORS as error:
        raise unreadable(stem_file.file_of(path), error) from error
    return FileMetadata(size_bytes, mtime_ns, layout.rate_hz, layout.channels, samples, (*levels,))


def _blocks(path: Path, block: int) -> Iterator[NDArray[np.float32]]:
    """Decode a file in blocks of ``(samples, channels)``.

    Raises:
        SongError: its length is unknown.
    """
    if stem_file.is_stream(path) or wav.header(path).offset_bytes >= 0:
        for start in itertools.count(0, block):
            audio = wav.part(path, start, block)
            if len(audio):
                yield audio
            if len(audio) < block:
                return
    with soundfile.SoundFile(os.fsencode(path)) as file:
        if file.frames == UNKNOWN_FRAMES:
            raise SongError(
                f"expected a length in the header of {path}, found none, as if it was written "
                "to a pipe; write it again, to a file"
            )
        while len(audio := file.read(block, dtype="float32", always_2d=True)):
            yield audio


def level_db(power: float) -> int:
    """Mean power, full scale at 1, in whole decibels; NaN and infinity count as 0 dB.

    >>> level_db(0.01), level_db(0.0)
    (-20, -120)
    """
    if not math.isfinite(power):
        return 0
    return max(round(10 * math.log10(max(power, 1e-30))), FLOOR_DB)


def place_of(root: Path, cache: Path | None, name: str = NAME) -> Path:
    """Path of the cache: in ``root``, or in ``cache`` under a name made from the path of root.

    If ``root`` is a list of files, the cache is beside it.
    """
    if cache is None:
        return root.with_name(f".{root.name}{name}") if root.is_file() else root / name
    digest = hashlib.sha256(os.fsencode(root.absolute())).hexdigest()[:12]
    return cache / f"{root.name or 'root'}-{digest}{name}"


def load(place: Path) -> dict[str, FileMetadata]:
    """Read the cache; empty if it is missing, damaged or of another version."""
    entries = load_entries(place, VERSION)
    try:
        return {
            key: FileMetadata(**{**entry, "levels_db": tuple(map(int, entry["levels_db"]))})
            for key, entry in entries.items()
        }
    except (KeyError, TypeError, ValueError):
        return {}


def save(place: Path, known: Mapping[str, FileMetadata]) -> None:
    """Write the cache, whole or not at all."""
    save_entries(place, VERSION, {key: asdict(file) for key, file in known.items()})


def load_entries(place: Path, version: int) -> dict[str, Any]:
    """Entries of a JSON cache; empty if it is missing, damaged or of another version."""
    try:
        contents = json.loads(place.read_text(encoding="utf-8"))
        if contents["version"] == version and isinstance(contents["files"], dict):
            return dict(contents["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return {}


def save_entries(place: Path, version: int, entries: Mapping[str, Any]) -> None:
    """Write a JSON cache under a temporary name and move it; log a warning if that fails."""
    text = json.dumps({"version": version, "files": entries}, separators=(",", ":"))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(place, text)
    except OSError as error:
        logger.warning(
            "%s cannot be written (%s): songs are analysed again next time; give a cache folder",
            place,
            error.strerror,
        )


def _key(path: Path, root: Path) -> str:
    """Path below ``root``; the whole path of a file elsewhere, which a list may name."""
    inside = path.relative_to(root) if path.is_relative_to(root) else path
    return os.fsencode(inside.as_posix()).decode("utf-8", "backslashreplace")


def _identity(path: Path) -> tuple[int, int]:
    """Size and time of a file.

    Raises:
        SongError: the file does not exist.
    """
    try:
        status = stem_file.file_of(path).stat()
    except OSError as error:
        raise unreadable(stem_file.file_of(path), error) from error
    return status.st_size, status.st_mtime_ns
