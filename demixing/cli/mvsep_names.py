"""Names of songs and stems for MVSep's quality checker, mvsep.com/quality_checker.

Its data sets are folders of mixtures ``NAME_mixture.wav``; the stems of a song are files
``NAME_STEM.wav`` or ``.flac`` with the rate, channels and length of the mixture. All of them are in
one zip archive, without folders.

Known from others' programs for the checker: names of mixtures and stems, and that files of another
length are rejected (github.com/bascurtiz/MSST-GUI); names of stems (splifft's documentation). That
the upload is one flat zip archive is not confirmed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from demixing.errors import OutputError, SongError

END = "_mixture"
"""End of the names of mixtures."""

FORMATS = ("flac", "wav")

Songs = Mapping[Path, Mapping[str, Path]]
"""File of each stem, by mixture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One data set of the quality checker.

    Attributes:
        track: of the default recipe.
        suffixes: name of each stem in the archive, by name of the output here.
        songs: number of songs; None if it is not known.
    """

    track: str
    suffixes: Mapping[str, str]
    songs: int | None = None


DATASETS = {
    "multisong": Dataset(
        track="mdx",
        suffixes={
            "bass": "bass",
            "drums": "drums",
            "other": "other",
            "vocals": "vocals",
            "instrumental": "instrum",
        },
        songs=100,
    ),
    "synth": Dataset(track="mdx", suffixes={"vocals": "vocals", "instrumental": "instrum"}),
    "dnr3": Dataset(
        track="cdx",
        suffixes={
            "dialog": "speech",
            "speech": "speech",
            "effect": "sfx",
            "effects": "sfx",
            "sfx": "sfx",
            "music": "music",
        },
    ),
}
"""Data sets by name on the command line."""


def title(mixture: Path) -> str:
    """Name of a song without its end.

    >>> title(Path("song_000_mixture.wav"))
    'song_000'
    """
    return mixture.stem.removesuffix(END)


def check_mixtures(mixtures: Sequence[Path], dataset: Dataset) -> None:
    """Raise unless all songs of a data set are there, by their names.

    Raises:
        SongError: a song has another name, or there are more or fewer.
    """
    unchecked = "or use --unchecked"
    for mixture in mixtures:
        if not mixture.stem.endswith(END):
            raise SongError(
                f"expected names such as song_000{END}.wav, got {mixture.name!r}; give the folder "
                f"of the data set as it was downloaded, {unchecked}"
            )
    if dataset.songs not in (None, len(mixtures)):
        raise SongError(
            f"expected {dataset.songs} mixtures, got {len(mixtures)}; complete the download, "
            f"{unchecked}"
        )


def check_distinct(mixtures: Sequence[Path]) -> None:
    """Raise if two songs would have the same names in the archive.

    Raises:
        SongError: two do.
    """
    owners: dict[str, Path] = {}
    for mixture in mixtures:
        other = owners.setdefault(title(mixture).casefold(), mixture)
        if other is not mixture:
            raise SongError(
                f"{other} and {mixture} would have the same names in the archive; remove one"
            )


def found(folder: Path, mixture: Path, stem: str, suffix: str) -> Path | None:
    """Find the file of a stem that exists already; None if there is none.

    Args:
        folder: has files such as ``song_000/vocals.wav``, ``song_000_mixture/vocals.wav``,
            ``song_000_vocals.wav`` or ``song_000_mixture_vocals.wav``, also as FLAC.
        mixture: the song.
        stem: its name here.
        suffix: its name in the archive.

    Raises:
        OutputError: there are several.
    """
    names = dict.fromkeys((title(mixture), mixture.stem))
    paths = [
        folder / f"{name}{joint}{role}.{ext}"
        for name in names
        for joint in ("/", "_")
        for role in dict.fromkeys((stem, suffix))
        for ext in FORMATS
    ]
    there = [path for path in paths if path.is_file()]
    if len(there) > 1:
        raise OutputError(
            f"expected one file for {stem!r} of {mixture.name!r}, found {there[0]} and "
            f"{there[1]}; remove one"
        )
    return there[0] if there else None


def existing(folder: Path, mixtures: Sequence[Path], suffixes: Mapping[str, str]) -> Songs:
    """Find the stems of all songs in a folder.

    Args:
        folder: see :func:`found`.
        mixtures: the songs.
        suffixes: stems to look for; those that no song has are left out.

    Raises:
        OutputError: there are none, a song lacks one that another has, or has two.
    """
    songs = {
        mixture: {
            stem: path
            for stem, suffix in suffixes.items()
            if (path := found(folder, mixture, stem, suffix))
        }
        for mixture in mixtures
    }
    wanted = [stem for stem in suffixes if any(stem in stems for stems in songs.values())]
    if not wanted:
        raise OutputError(
            f"expected stems such as {title(mixtures[0])}/{next(iter(suffixes))}.wav in {folder}, "
            "found none; check --estimates and --stems"
        )
    missing = [
        (stem, song) for song, stems in songs.items() for stem in wanted if stem not in stems
    ]
    if missing:
        stem, song = missing[0]
        raise OutputError(
            f"expected {' and '.join(wanted)} of every song in {folder}, {len(missing)} missing, "
            f"the first {stem!r} of {song.name!r}; add them, or choose others with --stems"
        )
    return songs
