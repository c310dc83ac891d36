"""MDX'23: SONG/STEM.wav in folders whose names contain clean, labelnoise or bleeding.

The songs of leaderboards A and B were corrupted on purpose: files under the name of another stem
(label noise), or stems that leak into the others (bleeding). Source: https://arxiv.org/abs/2308.06979.
"""

import dataclasses
import re
from pathlib import Path

from demixing.training.data.layouts import MDX_STEMS, Found, songs_in, splits_in, subfolders

RANK = 1
KINDS = {"labelnoise": "labelnoise", "bleeding": "bleeding", "clean": ""}


def find(folder: Path, known: frozenset[str]) -> list[Found]:
    """Find songs in a folder of one kind, or in its subfolders of the three kinds."""
    del known
    if kind_of(folder) is not None:
        return _kind(folder, folder)
    kinds = [entry for entry in subfolders(folder) if kind_of(entry) is not None]
    return [song for entry in kinds for song in _kind(entry, folder)]


def kind_of(folder: Path) -> str | None:
    """The kind that a folder's name contains, empty for clean; None if it contains none.

    >>> kind_of(Path("moisesdb23_label_noise_v1.0")), kind_of(Path("Clean")), kind_of(Path("data"))
    ('labelnoise', '', None)
    """
    bare = re.sub(r"[ _-]", "", folder.name.lower())
    return next((kind for word, kind in KINDS.items() if word in bare), None)


def _kind(folder: Path, root: Path) -> list[Found]:
    """Songs of one kind, with or without splits."""
    places = {folder: ""} | splits_in(folder)
    return [
        dataclasses.replace(song, kind=kind_of(folder) or "", split=split)
        for place, split in places.items()
        for song in songs_in(place, root, frozenset(MDX_STEMS))
    ]
