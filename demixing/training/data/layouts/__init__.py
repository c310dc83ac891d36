"""Layouts of data sets on disk, one module each, which finds songs and the files of their stems.

A module has a ``RANK``, the order in which layouts are tried by default (specific ones first), and
``find``, which returns the songs of a folder, or an empty list if it has another layout. No audio
is read here. Stems have the names of the two tracks, even if a data set has others.

Files of a song in ``SONG/``, each as wav or flac, upper or lower case, accented letters in either
of Unicode's forms:

    STEM.wav   SONG_STEM.wav            a stem
    STEM_1.wav STEM-2.wav STEM 3.wav    parts of a stem, to be summed
    STEM/*.wav                          the same
    mixture.wav, or mixture_Lt.wav with mixture_Rt.wav, its left and its right channel
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from demixing.errors import ConfigError
from demixing.evaluation.song_files import (
    CDX_NAMES,
    LEFT,
    MIXTURE,
    RIGHT,
    SUFFIXES,
    entries,
    names_of,
    normal,
)
from demixing.plugins import Plugins

MDX_STEMS = ("vocals", "drums", "bass", "other")
CDX_STEMS = ("dialog", "effect", "music")
SIDES = (LEFT.lower(), RIGHT.lower())
SPLITS: Mapping[str, str] = {
    "train": "train",
    "tr": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "cv": "valid",
    "test": "test",
    "tt": "test",
}
"""Split of a data set by the name of its folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The files of a song on disk.

    Attributes:
        name: path of its folder below the searched folder, with ``/``.
        folder: path of its folder.
        stems: by name, the files to be summed; only stems that have a file.
        mixture: no file, one, or the left and the right channel.
        split: ``train``, ``valid`` or ``test``; empty if the data set has no splits.
        kind: known corruption: ``labelnoise``, ``bleeding``, or empty.
        ignored: audio files that are not stems, and folders that contain such.
        loose: whether it is a file on its own, which has no other stems.
    """

    name: str
    folder: Path
    stems: Mapping[str, tuple[Path, ...]]
    mixture: tuple[Path, ...] = ()
    split: str = ""
    kind: str = ""
    ignored: tuple[Path, ...] = field(default=())
    loose: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the stems, then those of the mixture."""
        return (*(path for paths in self.stems.values() for path in paths), *self.mixture)


_plugins = Plugins(__name__, __path__, "layout")
names, summary = _plugins.names, _plugins.summary


def find(
    folder: Path, layout: str | None = None, stems: Iterable[str] = ()
) -> tuple[str, tuple[Found, ...]]:
    """Find the songs of a folder.

    Args:
        folder: folder of a data set or of one of its splits, or a list of files as CSV.
        layout: a key from :func:`names`; by default the first layout that finds songs.
        stems: additional names of stems, besides those of the two tracks.

    Returns:
        The layout and its songs, sorted by name.

    Raises:
        ConfigError: the folder cannot be listed or has no songs of that layout, two files of a
            song are the same stem, or there is no such layout.
    """
    folder = folder.absolute()  # "." has no name
    known = frozenset((*MDX_STEMS, *CDX_STEMS, *stems))
    if folder.is_file() and not layout:
        layout = "csv_list"
    for name in [layout] if layout else by_rank():
        module = _plugins.module(name)
        if found := cast("list[Found]", module.find(folder, known)):
            return name, tuple(sorted(found, key=lambda song: song.name))
    which = f" in the layout {layout!r}" if layout else ""
    hint = "check the path"
    if folder.is_dir() and _song(folder, folder.parent, known):
        hint = "it is itself a song, so give the folder above it"
    raise ConfigError(
        f"expected a folder per song with STEM.wav or STEM.flac in {str(folder)!r}{which}, found "
        f"none; {hint}"
    )


def by_rank() -> list[str]:
    """All layouts, specific ones first."""
    ranks = {name: _plugins.module(name).RANK for name in names()}
    return sorted(ranks, key=lambda name: (ranks[name], name))


def songs_in(folder: Path, root: Path, known: frozenset[str]) -> Iterator[Found]:
    """Songs whose folders are directly in ``folder``, named by their path below ``root``."""
    for entry in subfolders(folder):
        if song := _song(entry, root, known):
            yield song


def splits_in(folder: Path) -> dict[Path, str]:
    """Subfolders that have the name of a split, in any case, each with its split."""
    found = {entry: SPLITS.get(entry.name.lower(), "") for entry in subfolders(folder)}
    return {entry: split for entry, split in found.items() if split}


def subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, sorted by name, without hidden ones."""
    try:
        with os.scandir(folder) as found:  # it has the types of entries without asking for each
            names = [entry.name for entry in found if entry.is_dir()]
    except OSError:
        return [entry for entry in entries(folder, ConfigError) if entry.is_dir()]
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def _song(folder: Path, root: Path, known: frozenset[str]) -> Found | None:
    """The song in ``folder``; None if it has no stem.

    Raises:
        ConfigError: two files are the same stem.
    """
    files: dict[str, list[Path]] = {}
    ignored: list[Path] = []
    folders = set(subfolders(folder))
    for path in entries(folder, ConfigError):
        role, part = _role(path, known, folder=path in folders)
        if not role:
            if path.suffix.lower() in SUFFIXES or (path in folders and audio_in(path)):
                ignored.append(path)
            continue
        if role in files and not part:
            raise _twice(role, files[role][0], path)
        inside = audio_in(path) if path in folders else [path]
        files.setdefault(role, []).extend(inside)
    stems = {name: tuple(paths) for name, paths in files.items() if paths and name in known}
    if not stems:
        return None
    return Found(
        name=folder.relative_to(root).as_posix(),
        folder=folder,
        stems=stems,
        mixture=_mixture(files),
        ignored=tuple(ignored),
    )


def audio_in(folder: Path) -> list[Path]:
    """Audio files directly in a folder, sorted by name."""
    return [
        path
        for path in entries(folder, ConfigError)
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]


def _role(path: Path, known: frozenset[str], *, folder: bool) -> tuple[str, bool]:
    """The role of a file or folder in its song, and whether it is one of several parts.

    Returns:
        Name of the stem, of the mixture or of one of its channels; empty if it is neither.
    """
    if folder:
        name = canonical(path.name)
        return (name, False) if name in known else ("", False)
    if path.suffix.lower() not in SUFFIXES:
        return "", False
    for name in map(canonical, names_of(path.stem, path.parent.name)):
        if name in {*known, MIXTURE, *SIDES}:
            return name, False
        numbered = re.fullmatch(r"(.+?)[ _.-]?\d+", name)
        if numbered and canonical(numbered[1]) in known:
            return canonical(numbered[1]), True
    return "", False


def canonical(name: str) -> str:
    """The name of a stem or of the mixture here, from that in any data set.

    >>> canonical("Speech"), canonical("VOCALS")
    ('dialog', 'vocals')
    """
    name = normal(name).lower()
    return CDX_NAMES.get(name, name)


def _mixture(files: Mapping[str, Sequence[Path]]) -> tuple[Path, ...]:
    """The file or pair of files of the mixture; empty if there is none."""
    if MIXTURE in files:
        return tuple(files[MIXTURE])
    sides = tuple(path for side in SIDES for path in files.get(side, ()))
    return sides if len(sides) == 2 else ()


def _twice(role: str, first: Path, second: Path) -> ConfigError:
    return ConfigError(
        f"expected one {role!r} in {str(second.parent)!r}, found {first.name!r} and "
        f"{second.name!r}; remove one, or number the parts of a stem: {role}_1, {role}_2"
    )
