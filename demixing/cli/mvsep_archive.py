"""Checks stems for MVSep's quality checker, and packs them into one archive."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from demixing import atomic
from demixing.cli.mvsep_names import Songs, title
from demixing.errors import EvaluationError, OutputError, SongError
from demixing.evaluation.audio import probe

EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The time of all files in the archive, so that the same stems make the same archive."""


def check_layouts(songs: Songs) -> None:
    """Raise unless all stems have the rate, channels and length of their mixture.

    Raises:
        OutputError: one has not.
        EvaluationError: a file is damaged.
    """
    for mixture, stems in songs.items():
        expected = probe(mixture)
        for path in stems.values():
            came = probe(path)
            if came != expected:
                raise OutputError(
                    f"expected {expected} in {path} as in {mixture.name!r}, got {came}: the "
                    "quality checker would reject it; separate this song again"
                )


def check_readable(mixtures: Sequence[Path]) -> None:
    """Raise if a mixture is damaged.

    Raises:
        SongError: it is.
    """
    try:
        for mixture in mixtures:
            probe(mixture)
    except EvaluationError as error:
        raise SongError(f"{error}; download the data set again") from error


def members(songs: Songs, suffixes: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Yield the name in the archive and the file of each stem."""
    for mixture, stems in songs.items():
        for stem, path in stems.items():
            yield f"{title(mixture)}_{suffixes[stem]}{path.suffix.lower()}", path


def pack(target: Path, songs: Songs, suffixes: Mapping[str, str]) -> int:
    """Write the archive, which appears whole or not at all.

    Audio is stored as it is, because it hardly shrinks.

    Args:
        target: is replaced if it exists.
        songs: stems of each song.
        suffixes: name of each stem in the archive.

    Returns:
        The number of files.

    Raises:
        OutputError: it cannot be written.
    """
    listed = list(members(songs, suffixes))
    try:
        with atomic.file(target) as unfinished, zipfile.ZipFile(unfinished, "w") as archive:
            for name, path in listed:
                info = zipfile.ZipInfo(name, EARLIEST)
                info.external_attr = 0o644 << 16
                with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
    except OSError as error:
        raise OutputError(
            f"cannot write {os.fspath(target)} ({error.strerror}); free space, or choose another -o"
        ) from error
    return len(listed)
