"""The true stems of a song: which are known if some have no file, and their common format."""

from collections.abc import Sequence

from demixing.errors import EvaluationError
from demixing.evaluation.audio import Layout, probe
from demixing.evaluation.songs import Song

REST = "other"
"""The stem that contains everything not in another stem, in tracks that have one."""


def known(song: Song, stems: Sequence[str]) -> tuple[str, ...]:
    """Stems of a track that are known in this song.

    A stem without a file is silent, like the vocals of an instrumental. But if a song has only two
    stems and one of them is :data:`REST`, that one is the whole accompaniment: only the other stem
    is known, and nothing about the parts of the accompaniment.

    Args:
        song: song with its files by stem.
        stems: names of the stems of the track.

    Raises:
        EvaluationError: the song has no stems at all.
    """
    if not song.stems:
        raise EvaluationError(
            f"expected a file for one of {', '.join(stems)} in {str(song.folder)!r}; add one or "
            "remove the song"
        )
    if len(song.stems) == 2 and REST in song.stems:
        return tuple(stem for stem in song.stems if stem != REST)
    return tuple(stems)


def common_layout(song: Song) -> Layout:
    """The format of all stems of a song, which add up to its mixture.

    Args:
        song: with one stem or more, see :func:`known`.

    Raises:
        EvaluationError: they differ, or a file is damaged.
    """
    (stem, path), *others = song.stems.items()
    layout = probe(path)
    for other, path in others:
        if (found := probe(path)) != layout:
            raise EvaluationError(
                f"expected stems of one format in {str(song.folder)!r}, got {layout} in {stem!r} "
                f"and {found} in {other!r}; convert them to one rate, length and number of channels"
            )
    return layout
