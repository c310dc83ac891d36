"""How data sets lie on disk, one file each: what is a song there, and which files are its stems.

A module has a ``RANK``, by which they are tried when nobody says which one a folder has (special
ones first), and ``find``, which returns the songs of a folder or nothing if it has another layout.
No audio is read here. Stems have the names of the two tracks, whatever a data set calls them.

Files of a song that lies in ``SONG/``, each as wav or flac, upper or lower case:

    STEM.wav   SONG_STEM.wav            a stem
    STEM_1.wav STEM-2.wav STEM 3.wav    parts of a stem, which are summed
    STEM/*.wav                          the same
    mixture.wav, or mixture_Lt.wav with mixture_Rt.wav, its left and its right channel
"""

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
)
from demixing.plugins import Plugins

MDX_STEMS = ("vocals", "drums", "bass", "other")
CDX_STEMS = ("dialog", "effect", "music")
ALIASES: Mapping[str, str] = {**CDX_NAMES, "dialogue": "dialog", "effects": "effect"}
"""What other data sets call our stems, and the mixture."""

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
"""Folders that part a data set, and which split they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A song as its files lie on disk.

    Attributes:
        name: path of its folder below the folder that was searched, with ``/``.
        folder: where it lies.
        stems: by name, the files that are summed; only those that are there.
        mixture: no file, one, or the left and the right channel.
        split: ``train``, ``valid``, ``test``, or empty where a data set has no splits.
        kind: what is known to be wrong with it: ``labelnoise``, ``bleeding``, or nothing.
        ignored: audio files of the folder that are no stem, by their names.
    """

    name: str
    folder: Path
    stems: Mapping[str, tuple[Path, ...]]
    mixture: tuple[Path, ...] = ()
    split: str = ""
    kind: str = ""
    ignored: tuple[Path, ...] = field(default=())

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that count, the mixture's last."""
        return (*(path for paths in self.stems.values() for path in paths), *self.mixture)


_plugins = Plugins(__name__, __path__, "layout")
names, summary = _plugins.names, _plugins.summary


def find(
    folder: Path, layout: str | None = None, stems: Iterable[str] = ()
) -> tuple[str, tuple[Found, ...]]:
    """Find the songs of a folder.

    Args:
        folder: of a data set, or of one split of it.
        layout: a key from :func:`names`; by default the first that finds songs.
        stems: names of stems besides those of the two tracks.

    Returns:
        The layout and its songs, sorted by name.

    Raises:
        ConfigError: the folder cannot be listed, holds no songs of that layout, or two files of a
            song claim to be the same; or there is no such layout.
    """
    folder = folder.absolute()  # "." has no name
    known = frozenset((*MDX_STEMS, *CDX_STEMS, *stems))
    for name in [layout] if layout else by_rank():
        module = _plugins.module(name)
        if found := cast("list[Found]", module.find(folder, known)):
            return name, tuple(sorted(found, key=lambda song: song.name))
    asked = f" in the layout {layout!r}" if layout else ""
    hint = "check the path"
    if _song(folder, folder.parent, known):
        hint = "it is itself a song, so name the folder above it"
    raise ConfigError(
        f"expected a folder per song with STEM.wav or STEM.flac in {str(folder)!r}{asked}, found "
        f"none; {hint}"
    )


def by_rank() -> list[str]:
    """All layouts, special ones first."""
    ranks = {name: _plugins.module(name).RANK for name in names()}
    return sorted(ranks, key=lambda name: (ranks[name], name))


def songs_in(folder: Path, root: Path, known: frozenset[str]) -> Iterator[Found]:
    """Songs whose folders lie directly in ``folder``; their names begin below ``root``."""
    for entry in subfolders(folder):
        if song := _song(entry, root, known):
            yield song


def subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, without hidden ones."""
    return [entry for entry in entries(folder, ConfigError) if entry.is_dir()]


def _song(folder: Path, root: Path, known: frozenset[str]) -> Found | None:
    """The song whose files lie in ``folder``, if it has at least one stem."""
    files: dict[str, list[Path]] = {}
    ignored: list[Path] = []
    for path in entries(folder, ConfigError):
        role, part = _role(path, known)
        if not role:
            if path.suffix.lower() in SUFFIXES:
                ignored.append(path)
            continue
        if role in files and not part:
            raise _twice(role, files[role][0], path)
        inside = audio_in(path) if path.is_dir() else [path]
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
    """Audio files that lie directly in a folder."""
    return [
        path
        for path in entries(folder, ConfigError)
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]


def _role(path: Path, known: frozenset[str]) -> tuple[str, bool]:
    """What a file or folder is to its song, and whether it may be one of several.

    Returns:
        The stem or what the mixture is called; empty if it is neither.
    """
    if path.is_dir():
        name = path.name.lower()
        return (_canonical(name), False) if _canonical(name) in known else ("", False)
    if path.suffix.lower() not in SUFFIXES:
        return "", False
    for name in names_of(path.stem.lower(), path.parent.name.lower()):
        if _canonical(name) in {*known, MIXTURE, *SIDES}:
            return _canonical(name), False
        numbered = re.fullmatch(r"(.+?)[ _.-]?\d+", name)
        if numbered and _canonical(numbered[1]) in known:
            return _canonical(numbered[1]), True
    return "", False


def _canonical(name: str) -> str:
    return ALIASES.get(name, name)


def _mixture(files: Mapping[str, Sequence[Path]]) -> tuple[Path, ...]:
    """The mixture's file or pair of files."""
    if MIXTURE in files:
        return tuple(files[MIXTURE])
    sides = tuple(path for side in SIDES for path in files.get(side, ()))
    return sides if len(sides) == 2 else ()


def _twice(role: str, first: Path, second: Path) -> ConfigError:
    return ConfigError(
        f"expected one {role!r} in {str(second.parent)!r}, found {first.name!r} and "
        f"{second.name!r}; remove one, or number the parts of a stem: {role}_1, {role}_2"
    )
