"""A folder per stem with any number of files: STEM/NAME.wav; splits optional.

Type 2 of the data sets of Music-Source-Separation-Training, whose types 1 and 4 are the layout
``stems``. Files of one name in several folders are the stems of a song. If no name occurs twice,
each file is on its own: training mixes them, and evaluation is not possible.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from demixing.evaluation.song_files import normal
from demixing.training.data.layouts import (
    SPLITS,
    Found,
    audio_in,
    canonical,
    splits_in,
    subfolders,
)

RANK = 4
SONG_FILE = "data.json"
"""A song of MoisesDB has a folder per stem, too, and this file."""


def find(folder: Path, known: frozenset[str]) -> list[Found]:
    """Find files in a folder, or in its splits."""
    places = splits_in(folder) or {folder: SPLITS.get(folder.name.lower(), "")}
    return [song for place, split in places.items() for song in _songs(place, folder, split, known)]


def _songs(place: Path, root: Path, split: str, known: frozenset[str]) -> Iterator[Found]:
    """Songs of one split; none unless at least two of its folders have the name of a stem."""
    folders = {canonical(entry.name): audio_in(entry) for entry in subfolders(place)}
    stems = {stem: files for stem, files in folders.items() if stem in known and files}
    if len(stems) < 2 or audio_in(place) or (place / SONG_FILE).exists():
        return
    loose = not _shared(stems)
    unknown = [entry for entry in subfolders(place) if audio_in(entry)]
    unknown = [entry for entry in unknown if canonical(entry.name) not in stems]
    songs: dict[str, dict[str, tuple[Path, ...]]] = {}
    for stem, files in stems.items():
        for path in files:
            name = f"{stem}/{path.stem}" if loose else normal(path.stem)
            own = songs.setdefault(name, {})
            own[stem] = (*own.get(stem, ()), path)
    for number, (name, own) in enumerate(songs.items()):
        yield Found(
            name=(place.relative_to(root) / name).as_posix(),
            folder=place,
            stems=own,
            split=split,
            ignored=tuple(unknown) if number == 0 else (),  # reported once
            loose=loose,
        )


def _shared(stems: Mapping[str, list[Path]]) -> bool:
    """Whether a name is in two folders."""
    names = [{normal(path.stem) for path in files} for files in stems.values()]
    return sum(map(len, names)) > len(set().union(*names))
