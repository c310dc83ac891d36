"""Groups songs: which are weighted together, and which are left out together.

Songs of one artist share players, instruments, a room and an engineer: weights that were fitted to
one of them have in effect seen the others. So with ``--by artist`` they are left out together, and
all artists have equal weight. With ``--by song`` each song is left out alone, and all folders have
equal weight.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demixing.evaluation.comparison.artists import named
from demixing.training.fitting.song_gram import SongGram


def artist_of(song: str, folder: str) -> str:
    """The artist in the name of a song; if there is none, the folder counts as the artist.

    Args:
        song: name of the song.
        folder: path of its folder.

    >>> artist_of("A Band - A Song", "data"), artist_of("ABand_ASong", "data")
    ('A Band', 'ABand')
    >>> artist_of("5.Rubidium", "songs/data/")
    'songs/data'
    """
    return named(song) or str(Path(folder))


def shares_of(songs: Sequence[SongGram]) -> NDArray[np.float64]:
    """Weight of each song in means: equal for all groups, and within a group by ``weight``.

    Otherwise a few real songs would hardly count among many rendered ones.

    Returns:
        ``(songs,)``, with a sum of 1 unless no song has a weight.
    """
    sizes = Counter(song.group for song in songs)
    shares = np.array([song.weight / sizes[song.group] for song in songs])
    shares /= max(shares.sum(), 1e-12)
    return shares


def folds_of(songs: Sequence[SongGram]) -> list[str]:
    """Names of the folds, in the order of the songs."""
    return list(dict.fromkeys(song.fold for song in songs))


def without_each(songs: Sequence[SongGram]) -> Iterator[tuple[list[int], list[int]]]:
    """Indices of the songs of each fold, and of all other songs."""
    for fold in folds_of(songs):
        own = [number for number, song in enumerate(songs) if song.fold == fold]
        yield own, [number for number, song in enumerate(songs) if song.fold != fold]


def surely(
    gains_db: NDArray[np.float64], counts: NDArray[np.float64], folds: Sequence[str]
) -> bool:
    """Whether a mean gain is larger than its standard error, with folds as the independent units.

    Args:
        gains_db: gains of each song, ``(songs,)``.
        counts: weight of each song, with the sum 1, ``(songs,)``.
        folds: fold of each song.

    >>> halves, alone, together = np.ones(2) / 2, ["a", "b"], ["a", "a"]
    >>> surely(np.array([1.0, 1.2]), halves, alone), surely(np.array([1.0, -0.9]), halves, alone)
    (True, False)
    >>> surely(np.array([1.0, -0.9]), halves, together)
    True
    """
    mean = counts @ gains_db
    off: Counter[str] = Counter()
    for fold, part in zip(folds, counts * (gains_db - mean), strict=True):
        off[fold] += part
    return bool(mean > np.sqrt(sum(part**2 for part in off.values())) + 1e-9)
