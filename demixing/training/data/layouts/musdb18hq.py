"""MUSDB18-HQ: train/SONG and test/SONG with mixture, vocals, drums, bass and other as WAV.

Source: https://zenodo.org/records/3338373. It has 100 songs to train with and 50 to test with; the
14 for validation are a list of names in other packages, so they lie among those in ``train``.
"""

import dataclasses
from pathlib import Path

from demixing.training.data.layouts import MDX_STEMS, SPLITS, Found, songs_in

RANK = 2


def find(folder: Path, known: frozenset[str]) -> list[Found]:
    """Songs in the splits of a folder, or of a folder that is one split."""
    del known  # it has these stems and no other
    if folder.name in SPLITS and not any((folder / split).is_dir() for split in SPLITS):
        return _split(folder, folder)
    splits = [folder / split for split in SPLITS if (folder / split).is_dir()]
    return [song for split in splits for song in _split(split, folder)]


def _split(folder: Path, root: Path) -> list[Found]:
    """Songs in one split; none if they have no mixture, which MUSDB18-HQ has."""
    songs = list(songs_in(folder, root, frozenset(MDX_STEMS)))
    if not any(song.mixture for song in songs):
        return []
    return [dataclasses.replace(song, split=SPLITS[folder.name]) for song in songs]
