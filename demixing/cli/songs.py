"""Finds the songs of a command: files as they are, folders with all songs below them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from demixing.cluster.addresses import SYSTEM_FOLDERS
from demixing.errors import SongError

_AUDIO = """
    .wav .wave .bwf .rf64 .w64 .aif .aiff .aifc .au .snd .caf .flac .ogg .oga .opus .mp3 .mp2 .m4a
    .m4b .aac .alac .wma .wv .ape .ac3 .eac3 .dts .mka
"""
_OTHER = """
    .txt .md .toml .json .csv .xml .html .log .nfo .cue .m3u .m3u8 .pls .lrc .srt .pdf .doc .docx
    .jpg .jpeg .png .gif .webp .bmp .tif .tiff .svg .zip .gz .7z .rar .tar .py .sh .mid .midi .als
    .flp .ptx .logicx .sfk .asd .reapeaks .db .ini .lnk .url .part .tmp .th .onnx .npy
"""

AUDIO = frozenset(_AUDIO.split())
"""Suffixes of audio files. In a folder, a file with one of them is a song even if it is damaged."""

OTHER = frozenset(_OTHER.split())
"""Suffixes of files that are not even tried."""

SKIPPED = ("__MACOSX", *SYSTEM_FOLDERS)
"""Folders without songs, besides hidden ones."""


@dataclass(frozen=True, slots=True)
class Song:
    """A song of a command.

    Attributes:
        path: of the file.
        folder: the folder that was named, if the song was found in one.
    """

    path: Path
    folder: Path | None = None

    @property
    def name(self) -> str:
        """Its file name without the suffix, if that can be the name of a file."""
        return self.path.name if self.path.stem in (".", "..") else self.path.stem

    @property
    def absolute(self) -> Path:
        """Its absolute path. Links are not followed: their names are the user's."""
        return Path(os.path.normpath(self.path.absolute()))

    @property
    def inside(self) -> tuple[str, ...]:
        """Folders between the named one and the song."""
        if self.folder is None:
            return ()
        return self.path.parent.relative_to(self.folder).parts


def found(words: Sequence[Path], output: Path) -> list[Song]:
    """Find the songs that files and folders name, each once.

    Args:
        words: files, which may be missing, and folders.
        output: a folder whose contents are no songs.

    Raises:
        SongError: a folder is the output folder.
    """
    songs: dict[str, Song] = {}
    for word in words:
        for song in _in_folder(word, output) if is_folder(word) else [Song(word)]:
            songs.setdefault(os.fspath(song.absolute), song)
    return list(songs.values())


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; names that are too long are not."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _in_folder(folder: Path, output: Path) -> list[Song]:
    """All songs below a folder, in alphabetical order."""
    if os.path.realpath(folder) == os.path.realpath(output):
        raise SongError(f"{folder} is both an input and --output; choose another folder for output")
    songs = [Song(path, folder) for path in _files(folder, os.path.realpath(output))]
    return songs or [Song(folder)]  # which then fails, unlike the others


def _files(folder: Path, output: str) -> Iterator[Path]:
    """Audio files below a folder. Links to folders are not followed, since they may be loops."""
    unlisted: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=unlisted.append):
        folders[:] = sorted(
            one
            for one in folders
            if not one.startswith(".")
            and one not in SKIPPED
            and os.path.realpath(Path(place, one)) != output
        )
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and _is_song(path):
                yield path
    for path in (Path(error.filename) for error in unlisted):
        if path != folder:  # these fail, so that their songs are not missing without a word
            yield path


def _is_song(path: Path) -> bool:
    """Whether a file is a song. One that cannot be reached fails later, if it looks like audio."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return path.suffix.lower() in AUDIO
    return stat.S_ISREG(mode) and is_audio(path)


def is_audio(path: Path) -> bool:
    """Whether a file is audio, by its suffix, or because it can be opened."""
    suffix = path.suffix.lower()
    if suffix in AUDIO or suffix in OTHER:
        return suffix in AUDIO
    from demixing.audio.files import song_format  # imports torch

    try:
        song_format(path)
    except SongError:
        return False
    return True
