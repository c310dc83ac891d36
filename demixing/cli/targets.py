"""Chooses the files that stems are written to, before anything is computed.

By default each song gets a folder of its name. In a folder of songs, the folders between are kept.
Songs that would share a folder get longer names: with the folders that they are in, or else with
their suffix.

    song.mp3                  song/vocals.wav
    a/mixture.wav             a/mixture/vocals.wav      beside b/mixture.wav
    ru.mp3                    ru.mp3/vocals.wav         beside ru.ogg
"""

from __future__ import annotations

import os
import string
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from demixing.cli.songs import Song
from demixing.errors import ConfigError, SongError

FIELDS = ("parent", "name", "stem", "ext")
END = ".{ext}"

Targets = dict[Song, dict[str, Path]]
"""For each song, the file of each stem."""


def targets(
    songs: Sequence[Song], output: Path, stems: Sequence[str], ext: str, template: str | None
) -> Targets:
    """Choose the file of each stem of each song.

    Args:
        songs: the songs, each once.
        output: folder for everything.
        stems: names of the stems.
        ext: suffix of the files, without its dot.
        template: see :func:`check_template`; None: a folder for each song.

    Raises:
        SongError: two files would be the same, or a stem would be written over a song.
    """
    if template is None:
        folders = default_folders(songs)
        result = {
            song: {stem: output / folders[song] / f"{stem}.{ext}" for stem in stems}
            for song in songs
        }
    else:
        result = {
            song: {stem: output / filled(template, song, stem, ext) for stem in stems}
            for song in songs
        }
    _check_distinct(result)
    # Unlike Path, os.path does not raise for names that are too long.
    inputs = {os.path.realpath(song.path) for song in songs}
    for paths in result.values():
        for path in paths.values():
            if os.path.realpath(path) in inputs:
                raise SongError(f"{path} is both an input and an output; choose another --output")
    return result


def check_template(template: str, stems: Sequence[str]) -> None:
    """Raise unless a template makes names of files.

    Args:
        template: a path in the output folder with ``{parent}``, the song's folder, ``{name}``,
            ``{stem}`` and ``{ext}``.
        stems: names of the stems.

    Raises:
        ConfigError: it has other fields, lacks one, or leaves the output folder.
    """
    wanted = f"expected --output-template like {{parent}}/{{name}}_{{stem}}{END}, got {template!r}"
    try:
        fields = [one[1:] for one in string.Formatter().parse(template) if one[1] is not None]
    except ValueError as error:
        raise ConfigError(f"{wanted}: {error}") from error
    for field, spec, conversion in fields:
        if field not in FIELDS or spec or conversion:
            raise ConfigError(f"{wanted}: its fields are {', '.join(FIELDS)}")
    if not template.endswith(END):
        raise ConfigError(f"{wanted}: it must end with {END}")
    if len(stems) > 1 and "stem" not in [field for field, *_ in fields]:
        raise ConfigError(f"{wanted}: without {{stem}}, all stems would be one file")
    if Path(template).is_absolute() or ".." in Path(template).parts:
        raise ConfigError(f"{wanted}: it must stay inside of --output")


def filled(template: str, song: Song, stem: str, ext: str) -> Path:
    """Fill a template."""
    parent = song.absolute.parent.parts[1:]
    parent = parent[-(len(song.inside) + 1) :]
    return Path(
        template.format(parent="/".join(parent), name=song.name, stem=stem, ext=ext).lstrip("/")
    )


def default_folders(songs: Sequence[Song]) -> dict[Song, Path]:
    """The folder of each song; see the top of this module."""
    result = {song: _folder(song, 0, suffix=False) for song in songs}
    groups: defaultdict[str, list[Song]] = defaultdict(list)
    for song, folder in result.items():
        groups[_key(folder)].append(song)
    for group in groups.values():
        if len(group) > 1:
            result |= _longer(group)
    return result


def _longer(songs: Sequence[Song]) -> dict[Song, Path]:
    """Different folders for songs whose folders would be the same."""
    most = max(len(song.absolute.parts) for song in songs)
    for suffix in (False, True):
        for more in range(most):
            folders = {song: _folder(song, more, suffix=suffix) for song in songs}
            if len({*map(_key, folders.values())}) == len(songs):
                return folders
    return {song: _folder(song, 0, suffix=False) for song in songs}


def _folder(song: Song, more: int, *, suffix: bool) -> Path:
    """A song's folder.

    Args:
        song: the song.
        more: number of additional parent folders.
        suffix: whether the suffix is part of the name.
    """
    parents = song.absolute.parent.parts[1:]
    count = len(song.inside) + more
    return Path(*(parents[-count:] if count else ()), song.path.name if suffix else song.name)


def _key(path: Path) -> str:
    """Equal for paths that are one file on a system that ignores case or composes accents."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _check_distinct(chosen: Mapping[Song, Mapping[str, Path]]) -> None:
    """Raise if two stems would be written to one file."""
    owners: dict[str, Song] = {}
    for song, paths in chosen.items():
        for path in paths.values():
            other = owners.setdefault(_key(path), song)
            if other is not song:
                raise SongError(
                    f"{other.path} and {song.path} would both be written to {path}; "
                    "add {parent} to --output-template, or separate them one by one"
                )


def existing(paths: Iterable[Path]) -> list[Path]:
    """Those of some files that exist."""
    return [path for path in paths if os.path.lexists(path)]
