"""The 2021 edition's interface, served by the same core: paths in, files out.

AIcrowd's MDX'21 server brings a base class of its own. Put this one before it:

    class Submission(Mdx21Predictor, MusicDemixingPredictor):
        ...

Source: AIcrowd's music-demixing-challenge-starter-kit. It calls ``prediction`` by keyword and
without the ``music_name`` that its base class declares, so here that is optional.
"""

from pathlib import Path

from my_submission import recipe, tracks
from my_submission.demixer import Demixer
from my_submission.transfer import separate_file


class Mdx21Predictor:
    """Separates one file into four, at the paths that the grader chose."""

    def prediction_setup(self) -> None:
        """Load the MDX recipe; called once, before the first song."""
        self._demixer = Demixer(recipe.chosen(tracks.by_name("mdx")))

    def prediction(
        self,
        *,
        mixture_file_path: str,
        bass_file_path: str,
        drums_file_path: str,
        other_file_path: str,
        vocals_file_path: str,
        music_name: str | None = None,
    ) -> None:
        """Separate the song at ``mixture_file_path`` into the other four, 16-bit WAV.

        Raises:
            SongError: the mixture cannot be read or cannot be separated.
            OutputError: the stems cannot be written.
        """
        del music_name
        targets = {
            "bass": Path(bass_file_path),
            "drums": Path(drums_file_path),
            "other": Path(other_file_path),
            "vocals": Path(vocals_file_path),
        }
        separate_file(self._demixer, Path(mixture_file_path), targets, bits="16")
