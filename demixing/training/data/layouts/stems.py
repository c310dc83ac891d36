"""Folders of stems: SONG/STEM.wav or .flac, SONG/STEM_1.wav, SONG/STEM/*.wav, in splits or not.

Whatever has no layout of its own: rendered corpora, CDX'23's clips, one's own songs. A mixture is
known, but not needed: it is the sum of the stems.
"""

import dataclasses
from pathlib import Path

from demixing.training.data.layouts import SPLITS, Found, songs_in, subfolders

RANK = 9


def find(folder: Path, known: frozenset[str]) -> list[Found]:
    """Songs in a folder, and in its subfolders that are called like a split."""
    own = SPLITS.get(folder.name.lower(), "")
    found = [dataclasses.replace(song, split=own) for song in songs_in(folder, folder, known)]
    for entry in subfolders(folder):
        split = SPLITS.get(entry.name.lower())
        if split:
            found += [
                dataclasses.replace(song, split=split) for song in songs_in(entry, folder, known)
            ]
    return found
