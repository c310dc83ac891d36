"""The interface of the 2021 edition: paths in, files out.

AIcrowd's MDX'21 server has its own base class. Put this one before it:

    class Submission(Mdx21Predictor, MusicDemixingPredictor):
        ...

Source: AIcrowd's music-demixing-challenge-starter-kit. It calls ``prediction`` with keywords and
without the ``music_name`` declared by its base class, so that argument is optional here.
"""

from pathlib import Path

import numpy as np
import torch

from demixing import audio
from demixing.audio.files import read_blocks, song_format, whole_files, write_stems
from demixing.errors import SongError
from demixing.recipes import reading, tracks
from demixing.schedule.budget import USED, positive, song_budget
from my_submission.predictor import SETUP_S, Predictor

TIMEOUT_VARIABLE = "INFERENCE_PER_MUSIC_TIMEOUT_SECONDS"
"""Environment variable of AIcrowd's server: seconds per song, regardless of length."""

SETUP_TIMEOUT_VARIABLE = "INFERENCE_SETUP_TIMEOUT_SECONDS"
"""Environment variable of AIcrowd's server: seconds for setup."""

TIMEOUT_S = 240.0
"""The server's default."""


class Mdx21Predictor:
    """Separates one file into four, at paths that the grader chooses."""

    def prediction_setup(self) -> None:
        """Load the MDX recipe; called once, before the first song."""
        setup_s = positive(SETUP_TIMEOUT_VARIABLE, SETUP_S)
        self._predictor = Predictor(reading.chosen(tracks.by_name("mdx")), setup_s=setup_s)

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
        """Separate the song at ``mixture_file_path`` into the other four files, as 16-bit WAV.

        Raises:
            SongError: the mixture cannot be read or cannot be separated.
            OutputError: the stems cannot be written.
            ConfigError: the environment's limits are not positive numbers.
        """
        del music_name
        targets = {
            "bass": Path(bass_file_path),
            "drums": Path(drums_file_path),
            "other": Path(other_file_path),
            "vocals": Path(vocals_file_path),
        }
        song = Path(mixture_file_path)
        form = song_format(song)
        audio.check_format(form.sample_rate_hz, form.channels)
        limit_s = song_budget(tracks.by_name("mdx"), form.frames / form.sample_rate_hz)
        budget_s = min(limit_s, USED * positive(TIMEOUT_VARIABLE, TIMEOUT_S))
        with whole_files(list(targets.values())) as stage:
            blocks = list(read_blocks(song))
            if not blocks:
                raise SongError(f"expected a song of at least one sample at {song}")
            mixture = torch.cat(blocks, dim=1).T.numpy()
            del blocks
            arrays, _ = self._predictor.separate_within(budget_s, mixture, form.sample_rate_hz)
            stems = (
                torch.from_numpy(
                    np.stack([arrays[stem][start : start + audio.BLOCK].T for stem in targets])
                )
                for start in range(0, len(mixture), audio.BLOCK)
            )
            for _ in write_stems(stems, dict(zip(targets, stage, strict=True)), form, bits="16"):
                pass
