"""Divide and Remaster v2, v3: SPLIT/CLIP with mix, speech, sfx and music.

Version 2 has the splits tr, cv and tt; version 3 has train, val and test, once for each language or
for all of them together. Sources: https://zenodo.org/records/6949108, https://arxiv.org/abs/2407.07275.
Annotations next to the audio are ignored. Stems are called dialog, effect and music here.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from demixing.training.data.layouts import CDX_STEMS, SPLITS, Found, songs_in, subfolders

RANK = 0
DEEPEST = 3
"""Most folders between the searched one and a clip: version, language and split."""


def find(folder: Path, known: frozenset[str]) -> list[Found]:
    """Find clips; the folder must have names of files that only this data set has."""
    del known
    return [song for song in _search(folder, folder, DEEPEST) if _foreign(song)]


def _search(folder: Path, root: Path, deepest: int) -> Iterator[Found]:
    """Clips in a folder; if there are none, those in its subfolders."""
    split = SPLITS.get(folder.name.lower(), "")
    songs = list(songs_in(folder, root, frozenset(CDX_STEMS)))
    yield from (dataclasses.replace(song, split=split) for song in songs)
    if not songs and deepest:
        for entry in subfolders(folder):
            yield from _search(entry, root, deepest - 1)


def _foreign(song: Found) -> bool:
    """Whether a file is called speech or sfx; other data sets use the names of the track."""
    paths = [path for part in ("dialog", "effect") for path in song.stems.get(part, ())]
    return any(path.stem.lower().endswith(("speech", "sfx")) for path in paths)
