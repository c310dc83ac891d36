"""MoisesDB: SONG/STEM/*.wav, where STEM is one of eleven groups of instruments.

The groups become the four stems of MDX'23 as in the authors' own package, where percussion is part
of other. A group that is asked for by its name is a stem of its own. The folder may contain the
songs in a folder for the version. Source: https://arxiv.org/abs/2307.15913.
"""

from collections.abc import Iterator
from pathlib import Path

from demixing.training.data.layouts import (
    MDX_STEMS,
    Found,
    audio_in,
    canonical,
    subfolders,
)

RANK = 3
REST = "other"
ONLY_HERE = frozenset(
    {
        "bowed_strings",
        "guitar",
        "other_keys",
        "other_plucked",
        "percussion",
        "piano",
        "wind",
    }
)
"""Groups that are no stems of other data sets."""

DEEPEST = 1
"""Most folders between the searched one and a song: the version."""


def find(folder: Path, known: frozenset[str]) -> list[Found]:
    """Find songs; at least one must have a group that only this data set has."""
    return _search(folder, folder, known, DEEPEST)


def _search(folder: Path, root: Path, known: frozenset[str], deepest: int) -> list[Found]:
    """Songs in a folder; if there are none, those in its subfolders."""
    # Songs that also have files beside the groups are somebody's own.
    groups = {song: dict(_groups(song)) for song in subfolders(folder) if not audio_in(song)}
    if any(found.keys() & ONLY_HERE for found in groups.values()):
        return [_song(song, root, found, known) for song, found in groups.items() if found]
    if not deepest:
        return []
    return [one for entry in groups for one in _search(entry, root, known, deepest - 1)]


def _groups(song: Path) -> Iterator[tuple[str, list[Path]]]:
    """Groups of a song, each with its files; groups without files are left out."""
    for entry in subfolders(song):
        name = canonical(entry.name).replace(" ", "_")
        if name in {*ONLY_HERE, *MDX_STEMS} and (files := audio_in(entry)):
            yield name, files


def _song(folder: Path, root: Path, groups: dict[str, list[Path]], known: frozenset[str]) -> Found:
    """A song whose groups are combined to the known stems."""
    stems: dict[str, tuple[Path, ...]] = {}
    for name, files in groups.items():
        stem = name if name in known else REST
        stems[stem] = (*stems.get(stem, ()), *files)
    return Found(name=folder.relative_to(root).as_posix(), folder=folder, stems=stems)
