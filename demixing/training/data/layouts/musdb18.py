"""MUSDB18: train/SONG.stem.mp4 and test/SONG.stem.mp4, with five AAC streams each.

Source: https://doi.org/10.5281/zenodo.1117372. The lossless MUSDB18-HQ is better to train on: here
everything above 16 kHz is missing. A split may be the folder, as in MUSDB18-HQ.
"""

from collections.abc import Iterator
from pathlib import Path

from demixing.errors import ConfigError
from demixing.evaluation import stem_file
from demixing.evaluation.song_files import MIXTURE, entries
from demixing.training.data.layouts import MDX_STEMS, SPLITS, Found, splits_in

RANK = 2


def find(folder: Path, known: frozenset[str]) -> list[Found]:
    """Find the files in a folder and in its splits."""
    del known  # this data set has no other stems
    places = {folder: SPLITS.get(folder.name.lower(), "")} | splits_in(folder)
    return [song for place, split in places.items() for song in _songs(place, folder, split)]


def _songs(place: Path, root: Path, split: str) -> Iterator[Found]:
    """Songs directly in a folder."""
    for path in entries(place, ConfigError):
        if stem_file.is_stem_file(path) and path.is_file():
            name = path.with_name(stem_file.song_name(path)).relative_to(root).as_posix()
            stems = {stem: (path / stem,) for stem in MDX_STEMS}
            yield Found(name=name, folder=path, stems=stems, mixture=(path / MIXTURE,), split=split)
