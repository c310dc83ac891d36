"""Stems in one file: MUSDB18's ``SONG.stem.mp4``, which holds five audio streams.

A stream has a path like a file in a folder: ``SONG.stem.mp4/drums``. No such file exists, so only
:mod:`demixing.evaluation.stem_streams`, and callers that know it, can open it.

Source: https://doi.org/10.5281/zenodo.1117372, and the Stem format of Native Instruments.
"""

from pathlib import Path

SUFFIX = ".stem.mp4"
STREAMS = ("mixture", "drums", "bass", "other", "vocals")
"""Audio streams of a file, in order. The mixture was mastered, so it is not the sum of the rest."""


def is_stem_file(path: Path) -> bool:
    """Whether a path has the suffix of such a file.

    >>> is_stem_file(Path("a.stem.mp4")), is_stem_file(Path("a.mp4"))
    (True, False)
    """
    return path.name.lower().endswith(SUFFIX)


def is_stream(path: Path) -> bool:
    """Whether a path stands for a stream of such a file.

    >>> is_stream(Path("a.stem.mp4/drums")), is_stream(Path("a.stem.mp4"))
    (True, False)
    """
    return path.name in STREAMS and is_stem_file(path.parent)


def file_of(path: Path) -> Path:
    """The existing file behind a path: that of a stream, or the path itself.

    >>> file_of(Path("b/a.stem.mp4/drums")).name, file_of(Path("b/a.wav")).name
    ('a.stem.mp4', 'a.wav')
    """
    return path.parent if is_stream(path) else path


def song_name(path: Path) -> str:
    """Name of the song in a file.

    >>> song_name(Path("b/a.b.stem.mp4"))
    'a.b'
    """
    return path.name[: -len(SUFFIX)]
