"""MUSDB18-HQ: train/SONG and test/SONG with mixture, vocals, drums, bass and other as WAV.

Source: https://zenodo.org/records/3338373. It has 100 songs for
training and 50 for testing. The 14 songs for validation are a list of names in other packages, so
here they are in ``train``.
"""

import dataclasses
from pathlib import Path

from demixing.training.data.layouts import MDX_STEMS, SPLITS, Found, songs_in, splits_in

RANK = 2


def find(folder: Path, known: frozenset[str]) -> list[Found]:
    """Find songs in the splits of a folder, or in a folder that is a split."""
    del known  # this data set has no other stems
    splits = splits_in(folder)
    if not splits and folder.name.lower() in SPLITS:
        return _split(folder, folder)
    return [song for split in splits for song in _split(split, folder)]


def _split(folder: Path, root: Path) -> list[Found]:
    """Songs in one split; none if no song has a mixture, because MUSDB18-HQ has mixtures."""
    songs = list(songs_in(folder, root, frozenset(MDX_STEMS)))
    if not any(song.mixture for song in songs):
        return []
    return [dataclasses.replace(song, split=SPLITS[folder.name.lower()]) for song in songs]
