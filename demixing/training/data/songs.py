"""Songs with known stems: an index of folders, and any part of any stem.

Indexing decodes each file once and caches its metadata (:mod:`demixing.training.data.metadata`).
Reading opens a file for every part and keeps no state, so any number of processes can read in any
order. A whole song is never in memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demixing.errors import ConfigError, SongError
from demixing.training.data import layouts, metadata, wav
from demixing.training.data.layouts import Found
from demixing.training.data.metadata import FileMetadata
from demixing.training.data.song_table import Song as Song
from demixing.training.data.song_table import SongTable, Spans

ACTIVE_DB = -60
"""Level above which a second is active: noise and reverberation of recordings are below."""


def index(
    folders: Sequence[Path],
    stems: Sequence[str],
    *,
    layout: str | None = None,
    split: str | None = None,
    rate_hz: int | None = None,
    incomplete: str = "silent",
    cache: Path | None = None,
    jobs: int | None = None,
) -> SongTable:
    """List the songs of data sets, in the order of folders and names.

    Args:
        folders: folders of data sets or of their splits.
        stems: names of the stems; songs that have none of them are left out.
        layout: a key of :func:`demixing.training.data.layouts.names`; by default it is detected.
        split: ``train``, ``valid`` or ``test``: leave out the songs of other splits. Songs of
            folders without splits belong to all splits.
        rate_hz: refuse songs of another sample rate.
        incomplete: what to do with a song that lacks a stem: ``silent``, ``skip`` or ``refuse``.
        cache: folder for the metadata; see :func:`demixing.training.data.metadata.of_files`.
        jobs: number of threads that decode files.

    Raises:
        ConfigError: a folder has no songs, or has several splits and none is given; or a song is
            incomplete and that is refused.
        SongError: a file is damaged, or has another sample rate.
        ValueError: ``incomplete`` has another value.
    """
    if incomplete not in ("silent", "skip", "refuse"):
        raise ValueError(f"expected silent, skip or refuse, got {incomplete!r}")

    def songs() -> Iterator[Song]:
        for folder in folders:
            root = Path(folder).absolute()
            found = _wanted(root, layouts.find(root, layout, stems)[1], stems, split, incomplete)
            paths = [path for song in found for stem in stems for path in song.stems.get(stem, ())]
            known = metadata.of_files(paths, root, cache, jobs)
            for song in found:
                yield _song(song, stems, known, rate_hz)

    return SongTable(songs())


def read(song: Song, stem: str, start: int, samples: int) -> Tensor:
    """Read a part of a stem.

    Args:
        song: a song from :func:`index`.
        stem: name of the stem; silence if the song lacks it.
        start: first sample.
        samples: number of samples; silence follows the end of the song.

    Returns:
        float32, ``(2, samples)``; mono is in both channels.

    Raises:
        SongError: a file cannot be read, or has another rate than the song or more than two
            channels.
        ValueError: ``start`` or ``samples`` is below 0.
    """
    if start < 0 or samples < 0:
        raise ValueError(f"need start and samples of at least 0, got {start} and {samples}")
    total: Tensor | None = None
    for path in song.stems.get(stem, ()):
        layout = wav.header(path)
        if layout.rate_hz != song.rate_hz:
            raise _other_rate(path, layout.rate_hz, song.rate_hz)
        if layout.channels > 2:
            raise SongError(
                f"expected one or two channels in {path}, found {layout.channels}; mix it down"
            )
        part = torch.from_numpy(wav.part(path, start, samples).T)
        if total is None and part.shape == (2, samples):
            total = part  # the usual case, one file that is long enough, needs no copy
        elif part.numel():
            total = torch.zeros(2, samples) if total is None else total
            total[:, : part.shape[1]] += part
    return torch.zeros(2, samples) if total is None else total


def _wanted(
    root: Path, found: Sequence[Found], stems: Sequence[str], split: str | None, incomplete: str
) -> list[Found]:
    """Songs of a split that have the stems.

    Raises:
        ConfigError: see :func:`index`.
    """
    splits = sorted({song.split for song in found if song.split})
    if split is None and len(splits) > 1:
        raise ConfigError(
            f"expected one split in {str(root)!r}, found {', '.join(splits)}; choose one, so that "
            "no network is trained on its test songs"
        )
    kept = []
    for song in found:
        if (split and song.split not in ("", split)) or not any(
            stem in song.stems for stem in stems
        ):
            continue
        missing = [stem for stem in stems if stem not in song.stems and not song.loose]
        if missing and incomplete == "refuse":
            raise ConfigError(
                f"expected {', '.join(stems)} in {str(song.folder)!r}, but {missing[0]!r} is "
                "missing; add it, or let it be silent"
            )
        if not missing or incomplete == "silent":
            kept.append(song)
    if not kept:
        raise ConfigError(
            f"expected songs with {', '.join(stems)} in {str(root)!r}"
            f"{f' for the split {split!r}' if split else ''}, found no match; "
            "check the path, the stems and the split"
        )
    return kept


def _song(
    found: Found, stems: Sequence[str], known: Mapping[Path, FileMetadata], rate_hz: int | None
) -> Song:
    """Build a song from the metadata of its files.

    Raises:
        SongError: a file has another rate than the others.
    """
    files = {stem: found.stems[stem] for stem in stems if stem in found.stems}
    paths = [path for stem in files for path in files[stem]]
    expected = rate_hz or known[paths[0]].rate_hz
    for path in paths:
        if known[path].rate_hz != expected:
            raise _other_rate(path, known[path].rate_hz, expected)
    levels = {stem: [known[path].levels_db for path in files.get(stem, ())] for stem in stems}
    return Song(
        name=found.name,
        stems=files,
        samples=max(known[path].samples for path in paths),
        rate_hz=expected,
        active={stem: active_spans(levels[stem]) for stem in stems},
        loudness_db={stem: loudness_db(levels[stem]) for stem in stems},
        kind=found.kind,
    )


def active_spans(levels_db: Sequence[Sequence[int]]) -> Spans:
    """Seconds in which at least one of several files is active.

    Args:
        levels_db: level per file and second, ``(files, seconds)``; files may differ in length.

    >>> active_spans([[-20, -20, -90, -30], [-90, -90]])
    ((0, 2), (3, 4))
    """
    active = np.concatenate(([False], _padded(levels_db).max(axis=0) > ACTIVE_DB, [False]))
    edges = np.flatnonzero(active[1:] != active[:-1]).tolist()
    return tuple(zip(edges[::2], edges[1::2], strict=True))


def loudness_db(levels_db: Sequence[Sequence[int]]) -> float:
    """Mean power in dB of the seconds in which at least one of several files is active.

    Args:
        levels_db: level per file and second, ``(files, seconds)``; files may differ in length.
    """
    levels = _padded(levels_db)
    active = levels.max(axis=0) > ACTIVE_DB
    if not active.any():
        return float(metadata.FLOOR_DB)
    return float(10 * np.log10((10 ** (levels[:, active] / 10)).sum() / active.sum()))


def _padded(levels_db: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Levels of files as rows ``(files, seconds)``; -inf after the end of a file."""
    longest = max(map(len, levels_db), default=0)
    rows = np.full((max(len(levels_db), 1), longest), -np.inf)
    for row, levels in zip(rows, levels_db, strict=False):
        row[: len(levels)] = levels
    return rows


def _other_rate(path: Path, found_hz: int, expected_hz: int) -> SongError:
    return SongError(
        f"expected {expected_hz} Hz in {path}, found {found_hz} Hz; resample it, since reading "
        "does not"
    )
