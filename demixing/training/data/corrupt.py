"""Copies a corpus and corrupts the labels or the separation of some songs, to try robust losses.

Label noise: two stems of a song swap names. Bleeding: each stem of a song gets some of the others,
as microphones in one room do. Uncorrupted files are links and take no space, and mixtures stay
unchanged. ``OUT/corruption.json`` lists the changes.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from demixing.errors import ConfigError, OutputError
from demixing.training.data import layouts

KINDS = ("labelnoise", "bleeding")
REPORT = "corruption.json"
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
        folder: its path below the corpus.
        stems: file by name of the stem, sorted by name.
    """

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
    if out.exists():
        raise ConfigError(f"expected a new folder, but {str(out)!r} exists")
    found = songs(corpus)
    chosen = choose(len(found), share, seed)
    done: dict[str, Any] = {}
    try:
        for number, song in enumerate(found):
            target = out / song.folder
            if number in chosen:
                rng = np.random.default_rng([seed, number])
                change = _swap if kind == "labelnoise" else _bleed
                done[song.folder.as_posix()] = change(rng, song, corpus, target)
                yield f"{target}: {json.dumps(done[song.folder.as_posix()])}"
            else:
                _link_all(corpus / song.folder, target)
        for path in sorted(corpus.iterdir()):
            if path.is_file():
                _link(path, out / path.name)
        report = {"kind": kind, "share": share, "seed": seed, "songs": len(found), "spoilt": done}
        (out / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    except (OSError, soundfile.LibsndfileError) as error:
        raise OutputError(f"cannot write to {str(out)!r}: {error}") from error


def songs(corpus: Path) -> list[Song]:
    """Find all songs with at least two stems, sorted by folder.

    Raises:
        ConfigError: there are none, or a stem has several files.
    """
    _, found = layouts.find(corpus)
    songs = [
        Song(Path(song.name), {stem: _only(song.stems[stem]) for stem in sorted(song.stems)})
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


def _swap(rng: np.random.Generator, song: Song, corpus: Path, target: Path) -> dict[str, Any]:
    """Swap the names of two stems; the files themselves are linked."""
    names = list(song.stems)
    one, other = (names[place] for place in sorted(rng.permutation(len(names))[:2].tolist()))
    new = {name: name for name in names} | {one: other, other: one}
    _link_all(corpus / song.folder, target, without=song.stems.values())
    for name, path in song.stems.items():
        _link(path, target / f"{song.stems[new[name]].stem}{path.suffix}")
    return {"swapped": [one, other]}


def _bleed(rng: np.random.Generator, song: Song, corpus: Path, target: Path) -> dict[str, Any]:
    """Let each stem bleed into some of the others."""
    names = list(song.stems)
    level_db = rng.uniform(*BLEED_DB, size=(len(names), len(names)))
    bleeds = rng.random((len(names), len(names))) < BLEEDS
    gains = np.where(bleeds, 10 ** (level_db / 20), 0.0)
    np.fill_diagonal(gains, 1.0)
    _link_all(corpus / song.folder, target, without=song.stems.values())
    _mix(list(song.stems.values()), gains, target)
    return {
        "bleeding_db": {
            f"{names[of]} in {names[into]}": round(float(level_db[into, of]), 1)
            for into in range(len(names))
            for of in range(len(names))
            if into != of and bleeds[into, of]
        }
    }


def _mix(paths: Sequence[Path], gains: np.ndarray[Any, np.dtype[np.float64]], target: Path) -> None:
    """Write weighted sums of stems.

    Args:
        paths: files of the stems.
        gains: gains of each stem in each result, ``(results, stems)``.
        target: folder of the results, which have the names of the stems.

    Raises:
        ConfigError: the stems differ in length, rate or channels.
    """
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(soundfile.SoundFile(path)) for path in paths]
        shapes = {(file.frames, file.samplerate, file.channels) for file in files}
        if len(shapes) > 1:
            raise ConfigError(
                f"expected stems of one length, rate and number of channels in "
                f"{str(paths[0].parent)!r}, got {sorted(shapes)}"
            )
        written = [
            stack.enter_context(
                soundfile.SoundFile(
                    target / path.name, "w", file.samplerate, file.channels, file.subtype
                )
            )
            for path, file in zip(paths, files, strict=True)
        ]
        for _ in range(0, files[0].frames, BLOCK):
            block = np.stack([file.read(BLOCK, always_2d=True) for file in files])
            for file, audio in zip(written, np.tensordot(gains, block, axes=1), strict=True):
                file.write(audio)  # clips sums above full scale


def _link_all(folder: Path, target: Path, without: Any = ()) -> None:
    """Link the files of a folder, except some."""
    target.mkdir(parents=True, exist_ok=True)
    left_out = set(without)
    for path in sorted(folder.iterdir()):
        if path.is_file() and path not in left_out:
            _link(path, target / path.name)


def _link(path: Path, target: Path) -> None:
    """Link a file, or copy it if the folders are on different disks."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path.resolve(), target)
    except OSError:
        shutil.copyfile(path, target)
