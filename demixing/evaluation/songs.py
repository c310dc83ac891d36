"""Finds songs and their stems in the folders of any data set.

Known layouts, as wav or flac, with or without the mixture:

    mdx   DIR/<song>/{mixture,bass,drums,other,vocals}.wav              MDX'23
          DIR/test/<song>/...                                           MUSDB18-HQ
    cdx   DIR/<clip>/<clip>_{mixture_Lt,mixture_Rt,dialog,effect,music}.wav   CDX'23
          DIR/tt/<clip>/{mix,speech,sfx,music}.wav                      Divide and Remaster
          DIR/<language>/test/<clip>/...                                the same, version 3

Another layout has one file per song: DIR/test/<song>.stem.mp4 of MUSDB18, for which see
:mod:`demixing.evaluation.stem_file`.

File names may be in upper or lower case, and may start with the name of the song's folder and
``_``. Files with any other name are ignored. No audio is read here.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from demixing.errors import EvaluationError
from demixing.evaluation import stem_file
from demixing.evaluation.song_files import (
    CDX_NAMES,
    LEFT,
    MIXTURE,
    RIGHT,
    SUFFIXES,
    entries,
    names_of,
    normal,
)

STEMS: Mapping[str, tuple[str, ...]] = {
    "mdx": ("bass", "drums", "other", "vocals"),
    "cdx": ("dialog", "effect", "music"),
}
"""Stems by track, in the order of the leaderboard's columns."""


def wav_file(track: str, song: str, role: str) -> str:
    """Name of a file in a song's folder, in the layout of the contest.

    Args:
        track: a key of :data:`STEMS`.
        song: name of the folder.
        role: a stem, or ``mixture``, ``mixture_Lt``, ``mixture_Rt``.

    >>> wav_file("mdx", "a", "bass"), wav_file("cdx", "a", "music")
    ('bass.wav', 'a_music.wav')
    """
    return f"{role}.wav" if track == "mdx" else f"{song}_{role}.wav"


TEST_SPLITS = ("test", "tt")  # MUSDB18-HQ's and Divide and Remaster's

DEEPEST = 2
"""Most folders above a test split: the version and the language of Divide and Remaster."""

_ROLES: Mapping[str, Mapping[str, str]] = {
    "mdx": {name: name for name in (*STEMS["mdx"], MIXTURE)},
    "cdx": {
        **{name.lower(): name for name in (*STEMS["cdx"], MIXTURE, LEFT, RIGHT)},
        **CDX_NAMES,
    },
}
"""The role of a file, by track and by its name without prefix and suffix, in lower case."""


@dataclass(frozen=True, slots=True)
class Song:
    """A folder of audio files that belong together.

    Attributes:
        name: name of the folder, after that of its language if there are several.
        folder: of the files, or a file with several streams.
        stems: file by stem, in the leaderboard's order; stems without a file are left out.
        mixture: no file, one file, or the left and the right channel.
    """

    name: str
    folder: Path
    stems: Mapping[str, Path]
    mixture: tuple[Path, ...]


def find_songs(folder: Path, track: str) -> list[Song]:
    """Find the songs of one track.

    If the folder has no songs, but its subfolder ``test`` (or ``tt``) does, that is searched. If
    neither has songs, the test splits of its subfolders are.

    Args:
        folder: has one folder per song.
        track: a key of :data:`STEMS`.

    Returns:
        Songs with at least one known file, sorted by name.

    Raises:
        EvaluationError: the folder cannot be listed or has no songs, or two files are the same
            stem.
        ValueError: there is no such track.
    """
    if track not in STEMS:
        raise ValueError(f"expected a track of {', '.join(STEMS)}, got {track!r}")
    songs = _search(folder, track)
    if not songs:
        raise EvaluationError(
            f"expected a folder per song with {', '.join(STEMS[track])} as wav or flac in "
            f"{str(folder)!r}, found none; {_advice(folder, track)}"
        )
    return songs


def detect_track(folder: Path) -> str:
    """Infer the track of songs from the names of their files.

    Args:
        folder: has one folder per song.

    Raises:
        EvaluationError: the folder cannot be listed, or has songs of no track or of several.
    """
    songs = {track: _search(folder, track) for track in STEMS}
    # Both tracks call the mixture by one name.
    found = [track for track in STEMS if any(song.stems for song in songs[track])]
    found = found or [track for track in STEMS if songs[track]]
    if len(found) == 1:
        return found[0]
    if found:
        raise EvaluationError(
            f"expected songs of one track in {str(folder)!r}, found {' and '.join(found)}; "
            "choose one, for example --track mdx"
        )
    known = " or ".join("/".join(stems) for stems in STEMS.values())
    raise EvaluationError(
        f"expected a folder per song with {known} as wav or flac in {str(folder)!r}, "
        "found none; check the path"
    )


def _search(folder: Path, track: str) -> list[Song]:
    """Songs in ``folder``, or if there are none in its test splits; may be empty."""
    if songs := _songs_in(folder, track):
        return songs
    places = {
        place: found for place in _tests(folder, DEEPEST) if (found := _songs_in(place, track))
    }
    if len(places) <= 1:
        return [song for songs in places.values() for song in songs]
    named = (
        dataclasses.replace(
            song, name="_".join((*place.parent.relative_to(folder).parts, song.name))
        )
        for place, songs in places.items()
        for song in songs
    )
    return sorted(named, key=lambda song: song.name)


def _tests(folder: Path, deepest: int) -> Iterator[Path]:
    """Test splits in a folder; if it has none, those in its subfolders."""
    inside = [entry for entry in entries(folder, EvaluationError) if entry.is_dir()]
    own = [entry for entry in inside if entry.name.lower() in TEST_SPLITS]
    yield from own
    if not own and deepest:
        for entry in inside:
            yield from _tests(entry, deepest - 1)


def _songs_in(folder: Path, track: str) -> list[Song]:
    """Songs directly in ``folder``, sorted by name; may be empty."""
    found = (_song(entry, track) for entry in entries(folder, EvaluationError))
    return sorted((song for song in found if song), key=lambda song: song.name)


def _song(folder: Path, track: str) -> Song | None:
    """The song in ``folder``; None if it has no known files, or is another file."""
    if not folder.is_dir():
        known = track == "mdx" and stem_file.is_stem_file(folder) and folder.is_file()
        return _of_stem_file(folder) if known else None
    files: dict[str, Path] = {}
    for path in entries(folder, EvaluationError):
        role = _role(path, track)
        if role is None:
            continue
        if role in files:
            raise EvaluationError(
                f"expected one file for {role!r} of song {folder.name!r}, found "
                f"{files[role].name!r} and {path.name!r} in {str(folder)!r}; remove one"
            )
        files[role] = path
    if not files or (track == "cdx" and _is_of_music(files)):
        return None
    stems = {stem: files[stem] for stem in STEMS[track] if stem in files}
    return Song(folder.name, folder, stems, _mixture(folder, files))


def _is_of_music(files: Mapping[str, Path]) -> bool:
    """Whether the only file is called mixture, which the contest's film sound never is."""
    return list(files) == [MIXTURE] and files[MIXTURE].stem.lower().endswith(MIXTURE)


def _of_stem_file(path: Path) -> Song:
    """The song in a file with several streams."""
    stems = {stem: path / stem for stem in STEMS["mdx"]}
    return Song(stem_file.song_name(path), path, stems, (path / MIXTURE,))


def _role(path: Path, track: str) -> str | None:
    """The stem or mixture that ``path`` is; None if it is neither."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return None
    names = names_of(path.stem, path.parent.name)
    return next((_ROLES[track][name] for name in names if name in _ROLES[track]), None)


def _mixture(folder: Path, files: Mapping[str, Path]) -> tuple[Path, ...]:
    """The file or pair of files of the mixture.

    Raises:
        EvaluationError: there is half a pair, or there are two mixtures.
    """
    sides = tuple(files[side] for side in (LEFT, RIGHT) if side in files)
    whole = (files[MIXTURE],) if MIXTURE in files else ()
    if len(sides) == 1 or (sides and whole):
        came = " and ".join(repr(path.name) for path in whole + sides)
        raise EvaluationError(
            f"expected song {folder.name!r} to have one mixture, either a file or a pair "
            f"*_Lt and *_Rt, found {came} in {str(folder)!r}; add or remove a file"
        )
    return whole or sides


def _advice(folder: Path, track: str) -> str:
    """Advice for a ``folder`` without songs."""
    if _song(folder, track):
        return "it is itself a song, so give the folder above it"
    subfolders = [entry for entry in entries(folder, EvaluationError) if entry.is_dir()]
    roles = [_ROLES[track].get(normal(entry.name).lower()) for entry in subfolders]
    if len(set(roles).intersection(STEMS[track])) > 1:
        return (
            "it has a folder per stem, which suits training, but not evaluation: make a folder "
            "per song"
        )
    fruitful = [entry.name for entry in subfolders if _songs_in(entry, track)]
    if fruitful:
        return f"{fruitful[0]!r} inside it has songs, so give that"
    return "check the path and the track"


def choose(songs: Sequence[Song], names: Sequence[str] | None) -> list[Song]:
    """Select songs by name.

    Args:
        songs: all songs.
        names: names of the wanted songs; None for all songs.

    Returns:
        Songs in the order of the names.

    Raises:
        EvaluationError: no song has one of the names.
    """
    if names is None:
        return list(songs)
    known = {normal(song.name): song for song in songs}
    for name in names:
        if normal(name) not in known:
            raise EvaluationError(f"no song named {name!r} (available: {', '.join(known)})")
    return [known[name] for name in dict.fromkeys(map(normal, names))]
