"""How the files of a song are named, for everything that looks for songs on disk.

A song is a folder. Its files have the name of a stem or of the mixture, as wav or flac; the name of
the folder and ``_`` may stand before it. Upper and lower case are the same, and so are the two
ways in which Unicode writes an accented letter. Which names are known, and which splits are
searched, is up to the caller. No audio is read here.
"""

import unicodedata
from collections.abc import Mapping
from pathlib import Path

SUFFIXES = (".wav", ".flac")
MIXTURE, LEFT, RIGHT = "mixture", "mixture_Lt", "mixture_Rt"
"""The mixture, or its left and its right channel."""

CDX_NAMES: Mapping[str, str] = {
    "speech": "dialog",
    "dialogue": "dialog",
    "sfx": "effect",
    "effects": "effect",
    "mix": MIXTURE,
}
"""Names in other data sets, such as Divide and Remaster, of CDX'23's stems and of the mixture."""


def entries(folder: Path, error: type[Exception]) -> list[Path]:
    """The contents of a folder, sorted by name, without hidden files.

    Args:
        folder: the one to list.
        error: what to raise if it cannot be listed.

    Raises:
        Exception: of the type ``error``: the folder cannot be listed.
    """
    try:
        found = sorted(folder.iterdir())
    except OSError as reason:
        raise error(
            f"expected a folder of songs at {str(folder)!r}, which cannot be listed "
            f"({reason.strerror}); check the path"
        ) from reason
    return [entry for entry in found if not entry.name.startswith(".")]


def normal(name: str) -> str:
    r"""A name in composed Unicode (NFC), so that names from any file system compare equal.

    macOS and some archives store an accented letter as two characters.

    >>> normal("e\u0301") == "\u00e9"
    True
    """
    return unicodedata.normalize("NFC", name)


def names_of(file: str, song: str) -> tuple[str, str]:
    """The names that a file may go by, in lower case, the likelier one first.

    Args:
        file: its name without suffix.
        song: name of its folder.

    The bare name comes first: in a song that is called "music", music_dialog.wav has a prefix and
    music.wav has none.

    >>> names_of("A_Bass", "A")
    ('a_bass', 'bass')
    """
    name = normal(file).lower()
    return name, name.removeprefix(f"{normal(song).lower()}_")
