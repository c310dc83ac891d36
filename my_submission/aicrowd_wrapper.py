"""Our version of AIcrowd's wrapper, which replaces this file on the grading server.

One class serves both tracks. MDX'23 reads ``<song>/mixture.wav`` and writes ``<song>/<stem>.wav``;
CDX'23 reads ``<clip>/<clip>_mixture_Lt.wav`` and ``_Rt.wav``, both mono, and writes
``<clip>/<clip>_<stem>.wav``. Files are 16-bit PCM, soundfile's default for WAV. Unlike AIcrowd's
wrapper, this one writes files that appear only when complete.

Source: AIcrowd's MDX'23 starter kit, and the public copy of its CDX'23 wrapper.
"""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from demixing.audio.files import READ_ERRORS, unreadable, whole_files
from demixing.errors import ConfigError, DemixError, OutputError, SongError
from demixing.printing import one_line, start_log
from demixing.recipes import tracks
from my_submission.user_config import MySeparationModel

logger = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]


class AIcrowdWrapper:
    """Connects the grader's files with the model.

    Args:
        dataset_dir: folder of songs; the environment's ``AICROWD_DATASET_DIR`` overrides it.
        predictions_dir: for the stems; ``$AICROWD_PUBLIC_SHARED_DIR/predictions`` overrides it.

    Raises:
        ConfigError: one of the folders does not exist.
    """

    def __init__(
        self,
        dataset_dir: str = "./public_dataset/",
        predictions_dir: str = "./evaluator_outputs/",
    ) -> None:
        self.track = tracks.submitted()
        self.model = MySeparationModel()
        self.instruments = list(self.track.stems)
        shared_dir = os.environ.get("AICROWD_PUBLIC_SHARED_DIR")
        if shared_dir is not None:
            predictions_dir = str(Path(shared_dir, "predictions"))
        self.predictions_dir = predictions_dir
        self.dataset_dir = os.environ.get("AICROWD_DATASET_DIR", dataset_dir)
        for folder in (self.predictions_dir, self.dataset_dir):
            if not Path(folder).is_dir():
                raise ConfigError(f"expected the folder {folder} to exist; create it first")

    def raise_aicrowd_error(self, msg: str) -> None:
        """Report ``msg`` like AIcrowd's kits."""
        raise NameError(msg)

    def separate_music_file(self, foldername: str) -> bool:
        """Separate the song or clip in one folder of the data set.

        Returns:
            True, like AIcrowd's wrapper.

        Raises:
            SongError: the mixture cannot be read or cannot be separated.
            OutputError: the stems break the contract or cannot be written.
        """
        mixture, sample_rate = self.read_mixture(foldername)
        arrays, rates = self.model.separate_music_file(mixture, sample_rate)
        self.check_output(arrays, rates, mixture, sample_rate)
        self.save_prediction(foldername, arrays, rates)
        return True

    def read_mixture(self, foldername: str) -> tuple[NDArray[np.float64], int]:
        """Read a mixture like the grader: float64, ``(samples, channels)``, and its rate."""
        folder = Path(self.dataset_dir, foldername)
        if not self.track.split_mixture:
            return read(folder / "mixture.wav")
        left, rate = read(folder / f"{foldername}_mixture_Lt.wav")
        right, right_rate = read(folder / f"{foldername}_mixture_Rt.wav")
        if (left.shape, rate) != (right.shape, right_rate) or left.ndim != 1:
            raise SongError(
                f"expected two mono files of the same length and rate in {folder}, got shape "
                f"{left.shape} at {rate} Hz and {right.shape} at {right_rate} Hz"
            )
        return np.stack([left, right], axis=1), rate

    def check_output(
        self,
        arrays: Arrays,
        rates: Mapping[str, int],
        mixture: NDArray[np.float64],
        sample_rate: int,
    ) -> None:
        """Raise unless the grader can score the stems.

        Raises:
            OutputError: names, shapes, types, rates or values are wrong.
        """
        if set(arrays) != set(self.instruments) or set(rates) != set(self.instruments):
            raise OutputError(f"expected the stems {self.instruments}, got {sorted(arrays)}")
        for stem, array in arrays.items():
            if array.shape != mixture.shape or array.dtype not in (np.float32, np.float64):
                raise OutputError(
                    f"expected {stem} to be floats of shape {mixture.shape}, "
                    f"got {array.dtype} of shape {array.shape}"
                )
            if not np.isfinite(array).all():
                raise OutputError(f"expected {stem} to be finite, got a NaN or an infinity")
            if rates[stem] != sample_rate:
                raise OutputError(
                    f"expected {stem} at the mixture's {sample_rate} Hz, got {rates[stem]}"
                )

    def save_prediction(self, foldername: str, arrays: Arrays, rates: Mapping[str, int]) -> None:
        """Write the stems of one folder, all or none."""
        folder = Path(self.predictions_dir, foldername)
        targets = [folder / self.track.stem_file(foldername, stem) for stem in self.instruments]
        with whole_files(targets) as paths:
            for stem, path in zip(self.instruments, paths, strict=True):
                soundfile.write(os.fsencode(path), data=arrays[stem], samplerate=rates[stem])


def read(path: Path) -> tuple[NDArray[np.float64], int]:
    """Read a whole file.

    Returns:
        ``(samples, channels)`` or ``(samples,)``, full scale at ±1, and the sample rate in Hz.

    Raises:
        SongError: it cannot be read.
    """
    try:
        array, rate = soundfile.read(os.fsencode(path))
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    return array, rate


def main() -> None:
    """Separate all folders of the data set, like the grader."""
    start_log(logging.INFO)
    wrapper = AIcrowdWrapper()
    for folder in sorted(Path(wrapper.dataset_dir).iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            logger.info("%s", folder.name)
            wrapper.separate_music_file(folder.name)


if __name__ == "__main__":
    try:
        main()
    except DemixError as error:
        sys.stderr.write(f"error: {one_line(str(error))}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
