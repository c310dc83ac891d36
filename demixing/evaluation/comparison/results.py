"""What a comparison finds: means of each system, and differences from the first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from demixing.evaluation.comparison.pairing import Paired

MEAN = "mean"
"""Name of the column before the stems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Difference of a system from the first one, in one column.

    Attributes:
        mean: mean difference over the units.
        interval: confidence interval of it; None for a single unit.
        p: p-value of the sign-flip test.
        p_holm: the same, corrected for the other columns and systems.
        better: number of units in which the system is better than the first.
        worse: number of units in which it is worse.
        units: number of songs, or of artists.
        songs: number of songs.
        smallest: difference that this number of units can usually show; None if it can show none.
    """

    mean: float
    interval: tuple[float, float] | None
    p: float
    p_holm: float
    better: int
    worse: int
    units: int
    songs: int
    smallest: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Difference of one song.

    Attributes:
        song: its name.
        mean: difference of its mean over active stems.
        stems: difference by active stem.
    """

    song: str
    mean: float
    stems: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Differences at silent and nearly silent references.

    Attributes:
        mean: mean difference over all of them.
        references: how many there are.
        songs: in how many songs.
        stems: mean difference and number of references by stem.
    """

    mean: float
    references: int
    songs: int
    stems: Mapping[str, tuple[float, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Means of one system.

    Attributes:
        official: over all references, each song counting once, as the leaderboard counts; None if
            a reference is unknown or has no score.
        columns: over active references, by column; None where there are none.
    """

    official: float | None
    columns: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Versus:
    """One system against the first.

    Attributes:
        columns: differences by column; None where no reference is active.
        moves: of all songs with an active reference, sorted by difference, the largest first.
        quiet: None if no reference is silent or nearly silent.
    """

    columns: Mapping[str, Difference | None]
    moves: Sequence[Move]
    quiet: Quiet | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that is known of several systems on the same songs.

    Attributes:
        paired: their scores.
        per_artist: whether artists are the units.
        means: of each system.
        versus: each system but the first, against the first.
    """

    paired: Paired
    per_artist: bool
    means: Sequence[Means]
    versus: Sequence[Versus]

    @property
    def unit(self) -> str:
        """What counts once: a word in the singular."""
        return "artist" if self.per_artist else "song"

    @property
    def units(self) -> int:
        """Number of units."""
        return len(set(self.paired.artists)) if self.per_artist else len(self.paired.songs)
