"""Two folders of songs -> one score per song and stem.

Rules:

* All stems of a song, references and estimates, have the same sample rate, channels and length;
  nothing is cut, padded, mixed down or resampled.
* Silent and nearly silent references are scored with the same formula as others, and marked.
* A song has the same name on both sides, in either of Unicode's forms.
* A stem that is missing on either side is an error before anything is read. Estimates of
  songs without a reference are ignored.
* A damaged file, or a sample that is not finite, is an error.
"""

import difflib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demixing.errors import EvaluationError
from demixing.evaluation.audio import Layout, blocks, probe
from demixing.evaluation.metrics import StemMeter, sdr
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
        stems_db: score in dB by stem.
        silent: stems whose reference is digital silence.
        layout: sample rate, channels and length of all its files.
        levels_dbfs: RMS of each reference over all samples and channels of the song, by stem;
            0 dBFS is a square wave at full scale, and -inf is silence.
    """

    name: str
    stems_db: Mapping[str, float]
    silent: tuple[str, ...]
    layout: Layout
    levels_dbfs: Mapping[str, float]

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
    def active_db(self) -> dict[str, float]:
        """Scores of active stems, whose reference is neither silent nor nearly silent."""
        quiet = {*self.silent, *self.nearly_silent}
        return {stem: score for stem, score in self.stems_db.items() if stem not in quiet}

    @property
    def active_mean_db(self) -> float | None:
        """Plain mean over the active stems; None if there are none."""
        scores_db = self.active_db.values()
        return math.fsum(scores_db) / len(scores_db) if scores_db else None


def score_song(
    reference: Song,
    estimate: Song,
    stems: Sequence[str],
    meter: Callable[[], StemMeter] = sdr.Meter,
) -> SongScore:
    """Score one song.

    Args:
        reference: true stems.
        estimate: separated stems.
        stems: which stems to score, at least one.
        meter: builds a meter for one stem.

    Raises:
        EvaluationError: a stem is missing or damaged, or its format differs from the reference's.
    """
    _check_complete("references", [reference], stems)
    _check_complete("estimates", [estimate], stems)
    layout = _common_layout(reference, estimate, stems)
    stems_db, levels_dbfs, silent = {}, {}, []
    for stem in stems:
        files = reference.stems[stem], estimate.stems[stem]
        level = _Level()
        stems_db[stem] = _score_stem(*files, layout.samples, meter(), level)
        levels_dbfs[stem] = level.value_dbfs
        if level.silent:
            silent.append(stem)
    return SongScore(reference.name, stems_db, tuple(silent), layout, levels_dbfs)


def score_folder(
    references: Path,
    estimates: Path,
    track: str,
    songs: Sequence[str] | None = None,
    progress: Progress | None = None,
    meter: Callable[[], StemMeter] = sdr.Meter,
) -> list[SongScore]:
    """Score the songs of two folders.

    Args:
        references: has a folder per song with the true stems.
        estimates: has a folder per song, of the same name, with the separated stems.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        songs: names of the songs to score; None for all that have a reference.
        progress: called after each song.
        meter: builds a meter for one stem.

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
        scores.append(score_song(reference, estimate, stems, meter))
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


class _Level:
    """Level of a stem that arrives in blocks, in constant memory.

    Attributes:
        silent: whether all samples so far are zero.
    """

    def __init__(self) -> None:
        self.silent = True
        self._energy = 0.0
        self._values = 0

    def update(self, audio: NDArray[np.float64]) -> None:
        """Add the next block, ``(samples, channels)``."""
        self.silent = self.silent and not audio.any()
        self._energy += float(np.square(audio).sum())
        self._values += audio.size

    @property
    def value_dbfs(self) -> float:
        """RMS of all blocks so far; -inf for silence."""
        return 10 * math.log10(self._energy / self._values) if self._energy else -math.inf


def _score_stem(
    reference: Path, estimate: Path, samples: int, meter: StemMeter, level: _Level
) -> float:
    """Score one pair of files.

    Args:
        reference: true stem.
        estimate: separated stem.
        samples: length of both.
        meter: scores it.
        level: measures the reference.

    Returns:
        The score in dB.
    """
    pairs = zip(blocks(reference, samples), blocks(estimate, samples), strict=True)
    for true_block, block in pairs:
        meter.update(true_block, block)
        level.update(true_block)
    return meter.value_db
