"""What is known of audio files after they were heard once, kept in a JSON file.

The file is a cache: it is written beside the data, or in a folder that is named, and made again if
it is missing, damaged or of another version. An entry counts as long as its file has the same path,
size and time of change.
"""

import hashlib
import json
import logging
import math
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from demixing import atomic
from demixing.errors import SongError
from demixing.files import READ_ERRORS, UNKNOWN_FRAMES, unreadable

logger = logging.getLogger(__name__)

VERSION = 1
NAME = ".songs-index.json"
FLOOR_DB = -120
"""Level of silence, and of anything below it."""
BLOCK_S = 8
"""Seconds that are decoded at a time."""
GROUP = 256
"""Files after which what was found out is kept: whoever is interrupted does not begin anew."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One audio file.

    Attributes:
        size_bytes: with ``mtime_ns``, what tells versions of the file apart.
        mtime_ns: time of its last change.
        rate_hz: sample rate.
        channels: of the file.
        samples: per channel, as many as could be decoded.
        levels_db: of each second that the file has or begins, the mean power over samples and
            channels, rounded; :data:`FLOOR_DB` at least.
    """

    size_bytes: int
    mtime_ns: int
    rate_hz: int
    channels: int
    samples: int
    levels_db: tuple[int, ...]


def of_files(
    paths: Iterable[Path], root: Path, cache: Path | None = None, jobs: int | None = None
) -> dict[Path, Facts]:
    """Facts of files, decoded only if they are not known yet.

    Args:
        paths: of audio files below ``root``.
        root: a data set's folder.
        cache: folder for what is found out; by default it is kept in ``root``, and where that
            cannot be written to, a warning is logged and it is not kept.
        jobs: threads that decode; by default as many as there are processors.

    Raises:
        SongError: a file is damaged or no audio.
    """
    place = place_of(root, cache)
    known = load(place)
    found: dict[Path, Facts] = {}
    unknown: list[Path] = []
    for path in dict.fromkeys(paths):
        facts = known.get(_key(path, root))
        if facts and (facts.size_bytes, facts.mtime_ns) == _identity(path):
            found[path] = facts
        else:
            unknown.append(path)
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        for start in range(0, len(unknown), GROUP):
            group = unknown[start : start + GROUP]
            found |= dict(zip(group, pool.map(decoded, group), strict=True))
            save(place, known | {_key(path, root): facts for path, facts in found.items()})
    return found


def decoded(path: Path) -> Facts:
    """Decode a whole file, a block at a time.

    Raises:
        SongError: it is damaged or no audio.
    """
    size_bytes, mtime_ns = _identity(path)
    levels: list[int] = []
    samples = 0
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            if file.frames == UNKNOWN_FRAMES:
                raise SongError(
                    f"expected the header of {path} to say how long it is, as it does not if it "
                    "was written into a pipe; write it again, into a file"
                )
            block = BLOCK_S * file.samplerate
            while len(audio := file.read(block, dtype="float32", always_2d=True)):
                samples += len(audio)
                power = np.square(audio, dtype=np.float32).mean(axis=1)
                starts = np.arange(0, len(audio), file.samplerate)
                counts = np.diff(np.append(starts, len(audio)))
                levels += [level_db(mean) for mean in np.add.reduceat(power, starts) / counts]
            return Facts(size_bytes, mtime_ns, file.samplerate, file.channels, samples, (*levels,))
    except READ_ERRORS as error:
        raise unreadable(path, error) from error


def level_db(power: float) -> int:
    """Mean power in whole decibels; a power that is no number counts as the loudest there is.

    >>> level_db(0.01), level_db(0.0)
    (-20, -120)
    """
    if not math.isfinite(power):
        return 0
    return max(round(10 * math.log10(max(power, 1e-30))), FLOOR_DB)


def place_of(root: Path, cache: Path | None, name: str = NAME) -> Path:
    """Where a cache is kept: beside the data, or in a folder under a name made of the path."""
    if cache is None:
        return root / name
    digest = hashlib.sha256(os.fsencode(root.absolute())).hexdigest()[:12]
    return cache / f"{root.name or 'root'}-{digest}{name}"


def load(place: Path) -> dict[str, Facts]:
    """What an earlier run found out; nothing if that is missing, damaged or old."""
    entries = load_entries(place, VERSION)
    try:
        return {
            key: Facts(**{**entry, "levels_db": tuple(map(int, entry["levels_db"]))})
            for key, entry in entries.items()
        }
    except (KeyError, TypeError, ValueError):
        return {}


def save(place: Path, known: Mapping[str, Facts]) -> None:
    """Keep what is known, all of it or nothing."""
    save_entries(place, VERSION, {key: asdict(facts) for key, facts in known.items()})


def load_entries(place: Path, version: int) -> dict[str, Any]:
    """The entries of a JSON cache; none if it is missing, damaged or of another version."""
    try:
        contents = json.loads(place.read_text(encoding="utf-8"))
        if contents["version"] == version and isinstance(contents["files"], dict):
            return dict(contents["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return {}


def save_entries(place: Path, version: int, entries: Mapping[str, Any]) -> None:
    """Write a JSON cache beside its place and move it there; log a warning if that fails."""
    text = json.dumps({"version": version, "files": entries}, separators=(",", ":"))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(place, text)
    except OSError as error:
        logger.warning(
            "%s cannot be written (%s): songs are heard again next time; name a cache folder",
            place,
            error.strerror,
        )


def _key(path: Path, root: Path) -> str:
    return os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")


def _identity(path: Path) -> tuple[int, int]:
    """Size and time of a file.

    Raises:
        SongError: there is none.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    return status.st_size, status.st_mtime_ns
