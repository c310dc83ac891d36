"""Copies a corpus and corrupts the labels or the separation of some songs, to try robust losses.

Label noise: two stems of a song swap names. Bleeding: each stem of a song gets some of the others,
as microphones in one room do. Uncorrupted files are links and take no space, and mixtures stay
unchanged. ``OUT/corruption.json`` lists the changes.

A link is the original itself, so nothing here may write to a file that exists already.
"""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from demixing import atomic
from demixing.errors import ConfigError, OutputError
from demixing.training.data import check, layouts, metadata

KINDS = ("labelnoise", "bleeding")
REPORT = "corruption.json"
CACHES = (metadata.NAME, check.NAME)
"""Ends of the names of files that describe the originals, by size and time, not by contents."""
BLEED_DB = (-26.0, -10.0)
"""Range of the gain of a stem that bleeds into another."""
BLEEDS = 0.7
"""Fraction of the ordered pairs of stems in a corrupted song in which one bleeds into the other."""
BLOCK = 1 << 19
"""Samples mixed at a time, so that memory does not depend on the length of a song."""


@dataclass(frozen=True, slots=True)
class Song:
    """A song of the corpus.

    Attributes:
        name: path of its folder below the corpus, with ``/``.
        folder: absolute path of its folder, which contains all its files.
        stems: file by name of the stem, sorted by name.
    """

    name: str
    folder: Path
    stems: dict[str, Path]


def corrupt(
    corpus: Path, out: Path, kind: str, *, share: float = 0.2, seed: int = 0
) -> Iterator[str]:
    """Copy a corpus and corrupt some of its songs.

    Args:
        corpus: a data set in any known layout.
        out: folder of the copy, which must not exist.
        kind: one of :data:`KINDS`.
        share: fraction of the songs to corrupt, 0 to 1.
        seed: seed of all random choices.

    Yields:
        A description of the corruption, for each corrupted song.

    Raises:
        ConfigError: there are no stems, a number is out of range, or ``out`` exists.
        OutputError: the copy cannot be written.
    """
    if not 0 <= share <= 1 or seed < 0:
        raise ConfigError(
            f"expected --share from 0 to 1 and --seed of at least 0, got {share:g} and {seed}"
        )
    if os.path.lexists(out):
        raise ConfigError(f"expected a new folder, but {str(out)!r} exists")
    found = songs(corpus)
    chosen = choose(len(found), share, seed)
    change = _swap if kind == "labelnoise" else _bleed
    done: dict[str, Any] = {}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic.folder(out) as unfinished:
            for number, song in enumerate(found):
                if number in chosen:
                    rng = np.random.default_rng([seed, number])
                    done[song.name] = change(rng, song, unfinished / song.name)
                    yield f"{out / song.name}: {json.dumps(done[song.name])}"
                else:
                    _link_all(song, unfinished / song.name)
            for path in sorted(corpus.iterdir()):
                if path.is_file() and not path.name.endswith(CACHES):
                    _link(path, unfinished / path.name)
            report = {"kind": kind, "share": share, "seed": seed, "songs": len(found)}
            text = json.dumps(report | {"spoilt": done}, indent=1)
            atomic.write_text(unfinished / REPORT, f"{text}\n")
    except (OSError, soundfile.LibsndfileError) as error:
        raise OutputError(f"cannot write to {str(out)!r}: {error}") from error


def songs(corpus: Path) -> list[Song]:
    """Find all songs with at least two stems, sorted by folder.

    Raises:
        ConfigError: there are none, or a stem has several files.
    """
    _, found = layouts.find(corpus)
    songs = [
        Song(
            song.name,
            song.folder,
            {stem: _only(song.stems[stem]) for stem in sorted(song.stems)},
        )
        for song in sorted(found, key=lambda song: song.folder)
        if len(song.stems) > 1
    ]
    for song in found:
        if len(song.stems) > 1 and song.folder != corpus.absolute() / song.name:
            raise ConfigError(
                f"expected a folder per song, got {song.name!r} in {str(song.folder)!r}; write its "
                "stems as files into a folder of its own"
            )
    if not songs:
        raise ConfigError(f"expected songs of two stems or more in {str(corpus)!r}, found none")
    return songs


def _only(paths: Sequence[Path]) -> Path:
    """The only file of a stem.

    Raises:
        ConfigError: it has several.
    """
    if len(paths) > 1:
        raise ConfigError(
            f"expected one file for each stem in {str(paths[0].parent)!r}, got "
            f"{', '.join(path.name for path in paths)}; sum them first"
        )
    return paths[0]


def choose(count: int, share: float, seed: int) -> set[int]:
    """Choose which of ``count`` songs are corrupted, by index.

    >>> len(choose(10, 0.2, seed=1))
    2
    """
    return set(np.random.default_rng(seed).permutation(count)[: round(share * count)].tolist())


def _swap(rng: np.random.Generator, song: Song, target: Path) -> dict[str, Any]:
    """Swap the names of two stems; the files themselves are linked."""
    names = list(song.stems)
    one, other = (names[place] for place in sorted(rng.permutation(len(names))[:2].tolist()))
    new = {name: name for name in names} | {one: other, other: one}
    _link_all(song, target, without=song.stems.values())
    for name, path in song.stems.items():
        place = song.stems[new[name]].relative_to(song.folder)
        _link(path, target / place.with_name(f"{place.stem}{path.suffix}"))
    return {"swapped": [one, other]}


def _bleed(rng: np.random.Generator, song: Song, target: Path) -> dict[str, Any]:
    """Let each stem bleed into some of the others."""
    names = list(song.stems)
    level_db = rng.uniform(*BLEED_DB, size=(len(names), len(names)))
    bleeds = rng.random((len(names), len(names))) < BLEEDS
    gains = np.where(bleeds, 10 ** (level_db / 20), 0.0)
    np.fill_diagonal(gains, 1.0)
    _link_all(song, target, without=song.stems.values())
    _mix(song, gains, target)
    return {
        "bleeding_db": {
            f"{names[of]} in {names[into]}": round(float(level_db[into, of]), 1)
            for into in range(len(names))
            for of in range(len(names))
            if into != of and bleeds[into, of]
        }
    }


def _mix(song: Song, gains: np.ndarray[Any, np.dtype[np.float64]], target: Path) -> None:
    """Write weighted sums of stems.

    Args:
        song: has the stems.
        gains: gains of each stem in each result, ``(results, stems)``.
        target: folder of the results, which have the names of the stems.

    Raises:
        ConfigError: the stems differ in length, rate or channels.
    """
    with contextlib.ExitStack() as stack:
        paths = list(song.stems.values())
        files = [stack.enter_context(soundfile.SoundFile(path)) for path in paths]
        shapes = {(file.frames, file.samplerate, file.channels) for file in files}
        if len(shapes) > 1:
            raise ConfigError(
                f"expected stems of one length, rate and number of channels in "
                f"{str(song.folder)!r}, got {sorted(shapes)}"
            )
        written = [
            stack.enter_context(
                soundfile.SoundFile(
                    _new(target / path.relative_to(song.folder)),
                    "w",
                    file.samplerate,
                    file.channels,
                    file.subtype,
                )
            )
            for path, file in zip(paths, files, strict=True)
        ]
        for _ in range(0, files[0].frames, BLOCK):
            block = np.stack([file.read(BLOCK, always_2d=True) for file in files])
            for file, audio in zip(written, np.tensordot(gains, block, axes=1), strict=True):
                file.write(audio)  # clips sums above full scale


def _link_all(song: Song, target: Path, without: Collection[Path] = ()) -> None:
    """Link the files of a song and of the folders in it, except some."""
    target.mkdir(parents=True, exist_ok=True)
    inside = (path for path in song.folder.rglob("*") if path.is_file())
    # A folder of a stem may be a link, which is not searched.
    for path in sorted({*inside, *song.stems.values()} - {*without}):
        if not path.name.endswith(CACHES):
            _link(path, target / path.relative_to(song.folder))


def _link(path: Path, target: Path) -> None:
    """Link a file, or copy it if the folders are on different disks."""
    _new(target)
    try:
        os.link(path.resolve(), target)
    except OSError:
        shutil.copyfile(path, target)


def _new(target: Path) -> Path:
    """The path of a new file, whose folder exists.

    Raises:
        FileExistsError: there is such a file, which may be a link to an original.
        OSError: the folder cannot be created.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    return target
