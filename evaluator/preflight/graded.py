"""Facts for the checks of a run: the grader's records, and the song files on both sides."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demixing.errors import EvaluationError
from demixing.evaluation.songs import STEMS, find_songs, wav_file
from evaluator.grading.profiles import Profile
from evaluator.grading.records import OK, SongResult, StartUp
from evaluator.preflight.files import SongFiles
from evaluator.preflight.sound import Sound


@dataclass(frozen=True, kw_only=True)
class Graded:
    """A run of the submission on some songs.

    Attributes:
        profile: limits of the server, and the track.
        start_ups: one record per start of the submission.
        results: one record per song; empty if only the files are known.
        dataset: folder of the songs in the grader's layout, with true stems next to the mixtures if
            there are any; None if there are no files.
        predictions: folder of the separated stems, in the grader's layout; or None.
    """

    profile: Profile
    start_ups: tuple[StartUp, ...] = ()
    results: tuple[SongResult, ...] = ()
    dataset: Path | None = None
    predictions: Path | None = None

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the track's stems, in the leaderboard's order."""
        return STEMS[self.profile.track]

    @functools.cached_property
    def songs(self) -> tuple[SongFiles, ...]:
        """Files of the songs that were requested; some estimates may be missing.

        Raises:
            EvaluationError: there are no songs, or one has no mixture.
        """
        if self.dataset is None or self.predictions is None:
            return ()
        found = []
        wanted = {result.name for result in self.results}
        for song in find_songs(self.dataset, self.profile.track):
            if wanted and song.name not in wanted:
                continue
            if not song.mixture:
                raise EvaluationError(
                    f"expected a mixture in {str(song.folder)!r}, found none; "
                    "give a folder in the grader's layout"
                )
            estimates = {
                stem: self._estimate(self.predictions, song.name, stem) for stem in self.stems
            }
            # Checks such as "which stem is this?" need all of them.
            references = song.stems if len(song.stems) == len(self.stems) else {}
            found.append(SongFiles(song.name, estimates, references, song.mixture))
        return tuple(found)

    @functools.cached_property
    def failed(self) -> frozenset[str]:
        """Names of songs that failed; their files may have any contents."""
        return frozenset(result.name for result in self.results if result.outcome != OK)

    @functools.cached_property
    def sounds(self) -> Mapping[str, Sound]:
        """Measurements by song, for songs whose files are complete and have the right format.

        Raises:
            EvaluationError: a mixture or a true stem is damaged.
        """
        return {
            song.name: Sound(song)
            for song in self.songs
            if song.name not in self.failed and not song.wrong
        }

    def _estimate(self, folder: Path, song: str, stem: str) -> Path:
        """Path where the grader expects a stem."""
        return folder / song / wav_file(self.profile.track, song, stem)
