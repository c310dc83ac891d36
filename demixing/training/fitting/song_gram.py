"""All that fitting needs to know about a song: the Gram matrix of its signals in bands.

Every ensemble is a weighted sum of its members' estimates, so its error follows from the Gram
matrix alone: a song is separated once, and thousands of ensembles can then be compared at almost no
cost. A signal filtered band by band is a weighted sum in each band, so this covers filters as well.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from demixing.evaluation.gram import Gram

MIXTURE = "mixture"

SILENT_DB = -60.0
"""A true stem is silent if its energy is this far below that of the mixture."""


def signal_name(member: str, stem: str) -> str:
    """Name of the signal that is a member's estimate of a stem."""
    return f"{member}/{stem}"


@dataclass(frozen=True, kw_only=True)
class SongGram(Gram):
    """The Gram matrix of one song.

    Its signals are estimates, named by :func:`signal_name`, :data:`MIXTURE`, and the known true
    stems by their own names. Its products are summed over samples and channels.

    Attributes:
        song: its name.
        folder: the folder that contains it.
        sample_rate_hz: sample rate of all signals.
        artist: songs of one artist are weighted and left out together; if None, see :attr:`group`.
        seen_by: names of the members that were trained on the song.
        weight: weight of the song, relative to others.
    """

    song: str
    folder: str
    sample_rate_hz: int = 44_100
    artist: str | None = None
    seen_by: frozenset[str] = frozenset()
    weight: float = 1.0

    @property
    def group(self) -> str:
        """The artist, or else the folder; all groups have the same total weight."""
        return self.artist or self.folder

    @property
    def fold(self) -> str:
        """The unit that is left out together: the artist, or else this song alone."""
        return self.artist or self.path

    @property
    def path(self) -> str:
        """Folder and name, which no other song has."""
        return f"{self.folder}/{self.song}"

    def knows(self, stem: str) -> bool:
        """Whether the true stem is known."""
        return stem in self.signals

    def silent(self, stem: str) -> bool:
        """Whether the true stem, which must be known, is silent."""
        limit = 10 ** (SILENT_DB / 10) * self.energy({MIXTURE: 1.0})
        return self.energy({stem: 1.0}) <= limit


def audible(songs: Sequence[SongGram], stem: str) -> list[SongGram]:
    """Songs in which a stem is known and not silent."""
    return [song for song in songs if song.knows(stem) and not song.silent(stem)]


def unseen(songs: Sequence[SongGram], members: Collection[str]) -> list[SongGram]:
    """Songs on which none of the members was trained."""
    return [song for song in songs if not song.seen_by.intersection(members)]
