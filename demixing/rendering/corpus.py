"""Writes a corpus, pieces and licences, in several processes; no piece is ever incomplete.

A piece depends only on its number and its maker. So the number of processes does not matter, an
interrupted run can be continued, and a longer run starts with the pieces of a shorter one.
"""

import json
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from demixing import atomic
from demixing.errors import ConfigError, OutputError
from demixing.machine.lifetime import die_with_parent
from demixing.rendering import manifest

Format = Literal["flac", "wav"]

RATE_HZ = 44_100
SOURCES = "sources.json"
"""File next to the stems that lists their sources, for licences and for continued runs."""
FIRST_GENERATION: Mapping[str, Any] = {"generation": 1, "modules": 0.0}
"""Values that are missing in the sources of old songs."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A song or a clip.

    Attributes:
        stems: ``(2, samples)`` each, full scale at ±1; the mixture is their sum.
        sources: contents of :data:`SOURCES`, with the maker's identity, and ``packages``.
    """

    stems: Mapping[str, NDArray[np.float64]]
    sources: Mapping[str, Any]


class Maker(Protocol):
    """Makes the pieces of a corpus; it is copied to other processes.

    Attributes:
        kind: first word of the folder names.
        packages: folder with one unpacked package per folder.
        identity: values that all pieces of a corpus share.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102

    @property
    def packages(self) -> Path: ...  # noqa: D102

    @property
    def identity(self) -> Mapping[str, Any]: ...  # noqa: D102

    def make(self, number: int) -> Piece:
        """Make one piece, which only depends on its number."""


def render(
    maker: Maker, output: Path, pieces: int, *, jobs: int = 1, form: Format = "flac"
) -> Iterator[Path]:
    """Render pieces, and yield the folder of each in order; then write the manifest.

    Existing pieces are left alone, in any format.

    Args:
        maker: renders the pieces.
        output: folder of the corpus.
        pieces: number of pieces in the corpus.
        jobs: number of processes; 1 means this process.
        form: format of the files, 16 bits each: WAV is read faster, FLAC takes half the space.

    Raises:
        ConfigError: a package or a program is missing, or the folder has pieces of another maker
            or damaged ones.
        OutputError: the folder cannot be written.
    """
    _check_kind(output, maker.kind)
    folders = [output / f"{maker.kind}_{number:03}" for number in range(pieces)]
    missing = [number for number, folder in enumerate(folders) if not folder.exists()]
    for folder in folders:
        if folder.exists():
            _check_same(folder, maker)
    if jobs == 1:
        for number, folder in enumerate(folders):
            if not folder.exists():
                _render_one(maker, number, folder, form)
            yield folder
    else:
        yield from _in_parallel(maker, folders, missing, jobs, form)
    manifest.write(output, maker.kind, maker.packages)


def _in_parallel(
    maker: Maker, folders: list[Path], missing: list[int], jobs: int, form: Format
) -> Iterator[Path]:
    """Render missing pieces in several processes; yield all folders in order."""
    # Spawned: a forked process may hang if threads hold locks.
    context = multiprocessing.get_context("spawn")
    count = min(jobs, max(1, len(missing)))
    # Workers of this pool would wait for ever if this process were killed.
    with ProcessPoolExecutor(count, context, die_with_parent, (os.getpid(),)) as pool:
        waiting: dict[int, Future[None]] = {
            number: pool.submit(_render_one, maker, number, folders[number], form)
            for number in missing
        }
        try:
            for number, folder in enumerate(folders):
                if number in waiting:
                    waiting[number].result()
                yield folder
        except BrokenProcessPool as error:
            raise OutputError(
                "a worker died, probably because it ran out of memory; use fewer --jobs, and run "
                "the same again"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _render_one(maker: Maker, number: int, folder: Path, form: Format) -> None:
    """Make and write one piece."""
    piece = maker.make(number)
    _write(folder, piece, form)


def _check_kind(output: Path, kind: str) -> None:
    """Check that a folder has no pieces of another kind, which its manifest would leave out.

    Raises:
        ConfigError: it has.
    """
    for path in sorted(output.glob(f"*_*/{SOURCES}")):
        other = path.parent.name.partition("_")[0]
        if other != kind:
            raise ConfigError(
                f"expected a new folder or one of {kind}s, but {str(output)!r} has {other}s; "
                "choose another --out"
            )


def _check_same(folder: Path, maker: Maker) -> None:
    """Check that an existing piece is one of the maker.

    Raises:
        ConfigError: it is not.
    """
    expected = dict(maker.identity)
    try:
        known = FIRST_GENERATION | json.loads((folder / SOURCES).read_text(encoding="utf-8"))
        found = {name: known[name] for name in expected}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        found = {}
    if found != expected:
        raise ConfigError(
            f"expected {maker.kind}s of {expected} in {str(folder.parent)!r}, found "
            f"{folder.name} of {found or 'unknown origin'}; choose another --out"
        )


def _rounded(audio: NDArray[np.float64]) -> NDArray[np.int16]:
    """Round to 16 bits: libsndfile rounds down in WAV, and to the nearest in FLAC.

    >>> _rounded(np.array([0.0, 1.0, -1.0, 0.7 / 32768])).tolist()
    [0, 32767, -32768, 1]
    """
    return np.clip(np.rint(audio * 32_768), -32_768, 32_767).astype(np.int16)


def _write(folder: Path, piece: Piece, form: Format) -> None:
    """Let the folder of a piece appear, whole or not at all."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic.folder(folder) as unfinished:
            for stem, audio in piece.stems.items():
                path = unfinished / f"{stem}.{form}"
                soundfile.write(path, _rounded(audio).T, RATE_HZ, subtype="PCM_16")
            text = json.dumps(dict(piece.sources), indent=1, ensure_ascii=False)
            (unfinished / SOURCES).write_text(text + "\n", encoding="utf-8")
    except (OSError, soundfile.LibsndfileError, AssertionError) as error:
        raise OutputError(f"cannot write to {str(folder.parent)!r}: {error}") from error
