"""Two folders of songs -> one score per song and stem.

Rules:

* All stems of a song, references and estimates, have the same sample rate, channels and length;
  nothing is cut, padded, mixed down or resampled.
* Silent and nearly silent references are scored with the same formula as others, and marked.
* A song has the same name on both sides, in either of Unicode's forms.
* A stem that is missing on either side is an error before anything is read. Estimates of
  songs without a reference are ignored.
* A damaged file, or a sample that is not finite, is an error.

The official SDR is always computed, and it decides which references are silent. Further metrics
are computed in the same pass over the files; a few need a second one.
"""

import difflib
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demixing.errors import EvaluationError
from demixing.evaluation.audio import Layout, probe
from demixing.evaluation.measuring import SongFiles
from demixing.evaluation.metrics import OFFICIAL, Metric
from demixing.evaluation.song_files import normal
from demixing.evaluation.songs import STEMS, Song, find_songs

logger = logging.getLogger(__name__)

NEARLY_SILENT_DBFS = -60.0
"""Music is some 40 dB louder: the slightest leakage from other stems drowns such a reference."""

Progress = Callable[[int, int, str], None]
"""Called after each song with the number of songs done, the total number, and the name."""


@dataclass(frozen=True, slots=True)
class SongScore:
    """Scores of one song.

    Attributes:
        name: name of the song.
        stems_db: official score in dB by stem.
        silent: stems whose reference is digital silence.
        layout: sample rate, channels and length of all its files.
        levels_dbfs: RMS of each reference over all samples and channels of the song, by stem;
            0 dBFS is a square wave at full scale, and -inf is silence.
        further: values by name of metric, then by stem; None where a metric is undefined.
    """

    name: str
    stems_db: Mapping[str, float]
    silent: tuple[str, ...]
    layout: Layout
    levels_dbfs: Mapping[str, float]
    further: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)

    @property
    def mean_db(self) -> float:
        """Plain mean over the stems."""
        return math.fsum(self.stems_db.values()) / len(self.stems_db)

    @property
    def nearly_silent(self) -> tuple[str, ...]:
        """Stems whose reference is below :data:`NEARLY_SILENT_DBFS`, but not digital silence."""
        return tuple(
            stem
            for stem, level_dbfs in self.levels_dbfs.items()
            if level_dbfs < NEARLY_SILENT_DBFS and stem not in self.silent
        )

    @property
    def active(self) -> tuple[str, ...]:
        """Active stems, whose reference is neither silent nor nearly silent."""
        quiet = {*self.silent, *self.nearly_silent}
        return tuple(stem for stem in self.stems_db if stem not in quiet)

    @property
    def active_db(self) -> dict[str, float]:
        """Scores of active stems."""
        return {stem: self.stems_db[stem] for stem in self.active}

    @property
    def active_mean_db(self) -> float | None:
        """Plain mean over the active stems; None if there are none."""
        scores_db = self.active_db.values()
        return math.fsum(scores_db) / len(scores_db) if scores_db else None


def score_song(
    reference: Song, estimate: Song, stems: Sequence[str], further: Iterable[Metric] = ()
) -> SongScore:
    """Score one song.

    Args:
        reference: true stems.
        estimate: separated stems.
        stems: which stems to score, at least one.
        further: metrics besides the official one.

    Raises:
        EvaluationError: a stem is missing or damaged, or its format differs from the reference's.
    """
    _check_complete("references", [reference], stems)
    _check_complete("estimates", [estimate], stems)
    layout = _common_layout(reference, estimate, stems)
    files = SongFiles(
        references=[reference.stems[stem] for stem in stems],
        estimates=[estimate.stems[stem] for stem in stems],
        layout=layout,
    )
    official, values = files.measure([one for one in further if one.name != OFFICIAL])
    energies = {stem: meter.signal for stem, meter in zip(stems, official.stems, strict=True)}
    return SongScore(
        name=reference.name,
        stems_db=dict(zip(stems, official.values()[OFFICIAL], strict=True)),
        silent=tuple(stem for stem, energy in energies.items() if not energy),
        layout=layout,
        levels_dbfs={
            stem: level_dbfs(energy / (layout.samples * layout.channels))
            for stem, energy in energies.items()
        },
        further={name: dict(zip(stems, row, strict=True)) for name, row in values.items()},
    )


def score_folder(
    references: Path,
    estimates: Path,
    track: str,
    songs: Sequence[str] | None = None,
    progress: Progress | None = None,
    further: Sequence[Metric] = (),
) -> list[SongScore]:
    """Score the songs of two folders.

    Args:
        references: has a folder per song with the true stems.
        estimates: has a folder per song, of the same name, with the separated stems.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        songs: names of the songs to score; None for all that have a reference.
        progress: called after each song.
        further: metrics besides the official one.

    Returns:
        Scores, sorted by name of song.

    Raises:
        EvaluationError: a song or stem is missing or damaged, or formats differ.
        ValueError: there is no such track.
    """
    chosen = _choose(find_songs(references, track), songs)
    partners = _partners(chosen, find_songs(estimates, track))
    stems = STEMS[track]
    # Check all songs before the first is scored, so a missing file is not reported an hour later.
    _check_complete("references", chosen, stems)
    _check_complete("estimates", partners, stems)
    scores = []
    for reference, estimate in zip(chosen, partners, strict=True):
        scores.append(score_song(reference, estimate, stems, further))
        if progress is not None:
            progress(len(scores), len(chosen), reference.name)
    return scores


def _choose(references: Sequence[Song], names: Sequence[str] | None) -> list[Song]:
    """The requested songs, in the order of ``references``."""
    if names is None:
        return list(references)
    known = [song.name for song in references]
    wanted = {normal(name) for name in names}
    for name in names:
        if normal(name) not in map(normal, known):
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the first is {known[0]!r}"
            raise EvaluationError(
                f"expected the name of one of {len(known)} reference songs, got {name!r}; {hint}"
            )
    if not names:
        raise EvaluationError("expected the name of at least one song, got none; name one")
    return [song for song in references if normal(song.name) in wanted]


def _partners(references: Sequence[Song], estimates: Sequence[Song]) -> list[Song]:
    """The estimate of each reference; if there is none, one without files."""
    root = estimates[0].folder.parent
    by_name = {normal(song.name): song for song in estimates}
    names = [normal(song.name) for song in references]
    extra = len(by_name.keys() - set(names))
    if extra:
        logger.info("estimates that are not scored: %d in %r", extra, str(root))
    return [
        by_name.get(normal(song.name), Song(song.name, root / song.name, {}, ()))
        for song in references
    ]


def _check_complete(side: str, songs: Sequence[Song], stems: Sequence[str]) -> None:
    """Raise unless every song has every stem.

    Args:
        side: what the message calls these songs.
        songs: references or estimates.
        stems: required of each song.
    """
    missing = [(stem, song) for song in songs for stem in stems if stem not in song.stems]
    if missing:
        stem, song = missing[0]
        raise EvaluationError(
            f"expected all {len(songs) * len(stems)} stems among the {side}, "
            f"{len(missing)} missing, the first {stem!r} of song {song.name!r} in "
            f"{str(song.folder)!r}; add what is missing or choose complete songs"
        )


def _common_layout(reference: Song, estimate: Song, stems: Sequence[str]) -> Layout:
    """Sample rate, channels and length of all files of a song, from their headers.

    Raises:
        EvaluationError: they differ.
    """
    model = reference.stems[stems[0]]
    common = probe(model)
    for stem in stems:
        for path in (reference.stems[stem], estimate.stems[stem]):
            layout = probe(path)
            if layout != common:
                raise EvaluationError(
                    f"expected {common} in {str(path)!r} as in {str(model)!r}, "
                    f"found {layout}; use one format for all"
                )
    return common


def level_dbfs(mean_square: float) -> float:
    """RMS in dBFS, 0 for a square wave at full scale; -inf for silence.

    >>> round(level_dbfs(0.25), 3)
    -6.021
    """
    return 10 * math.log10(mean_square) if mean_square else -math.inf
