"""Which stems of a song are known, if not all of them have a file."""

from collections.abc import Sequence

from demixing.errors import EvaluationError
from demixing.evaluation.songs import Song

REST = "other"
"""The stem that holds whatever the others do not, in tracks that have one."""


def known(song: Song, stems: Sequence[str]) -> tuple[str, ...]:
    """Stems of a track whose sound in this song is known.

    A stem without a file is silent, as the vocals of an instrumental are. But in a song of two
    stems, one of them :data:`REST`, that one is the accompaniment: the first is known, and of the
    accompaniment's parts nothing is, not even whether they sound.

    Args:
        song: with its files by stem.
        stems: of the track.

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
