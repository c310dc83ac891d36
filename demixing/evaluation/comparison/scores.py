"""The scores of one system, as a comparison uses them."""

from collections.abc import Mapping
from dataclasses import dataclass

from demixing.evaluation.scoring import NEARLY_SILENT_DBFS
from demixing.evaluation.songs import STEMS


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """What must be known of a metric to compare its scores.

    Attributes:
        name: key, as for ``--metric``.
        id: of its definition; empty in files of versions that had none.
        title: for a table.
        definition: in words.
        unit: of the scores, or empty.
        higher_is_better: whether it is.
    """

    name: str
    id: str
    title: str
    definition: str
    unit: str = "dB"
    higher_is_better: bool = True

    def same_as(self, other: "MetricInfo") -> bool:
        """Whether scores of both may be subtracted."""
        if self.id and other.id:
            return self.id == other.id
        return self.definition == other.definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What is known of the true stems of a song.

    Attributes:
        samples: length.
        sample_rate_hz: of all its files.
        channels: of all its files.
        levels_dbfs: RMS by stem; None for silence. Unknown stems are left out.
        artist: name, or what songs without one share; None if unknown.
    """

    samples: int
    sample_rate_hz: int
    channels: int
    levels_dbfs: Mapping[str, float | None]
    artist: str | None = None

    def is_quiet(self, stem: str) -> bool:
        """Whether a stem is silent or nearly silent: those only count in the official mean."""
        if stem not in self.levels_dbfs:
            return False
        level_dbfs = self.levels_dbfs[stem]
        return level_dbfs is None or level_dbfs < NEARLY_SILENT_DBFS

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate_hz


@dataclass(frozen=True, slots=True, kw_only=True)
class SongScores:
    """The scores of one song.

    Attributes:
        stems: score by stem; None where the metric is undefined or the stem unknown.
        reference: of the song.
    """

    stems: Mapping[str, float | None]
    reference: Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One of the systems that are compared.

    Attributes:
        name: as the user gave it.
        kind: what the scores come from, in a few words.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        metric: of the scores.
        songs: scores by name of the song.
    """

    name: str
    kind: str
    track: str
    metric: MetricInfo
    songs: Mapping[str, SongScores]

    @property
    def stems(self) -> tuple[str, ...]:
        """Stems of the track, in the order of the leaderboard's columns."""
        return STEMS[self.track]
