"""Folders of stems: SONG/STEM.wav or .flac, SONG/STEM_1.wav, SONG/STEM/*.wav; splits optional.

For data without a layout of its own: rendered corpora, the clips of CDX'23, your own songs. A
mixture is optional, since it is the sum of the stems.
"""

import dataclasses
from pathlib import Path

from demixing.training.data.layouts import SPLITS, Found, songs_in, splits_in

RANK = 9


def find(folder: Path, known: frozenset[str]) -> list[Found]:
    """Find songs in a folder, and in those of its subfolders that have the name of a split."""
    own = SPLITS.get(folder.name.lower(), "")
    found = [dataclasses.replace(song, split=own) for song in songs_in(folder, folder, known)]
    for entry, split in splits_in(folder).items():
        found += [dataclasses.replace(song, split=split) for song in songs_in(entry, folder, known)]
    return found
