"""Adapts AIcrowd's arrays to our tensors, and checks both.

The grader checks only the names of the stems. Other faults (a missing sample, a NaN, which becomes
full-scale noise in a 16-bit file, float16, swapped axes) cost the score or the whole submission, so
input and output are checked here.
"""

import logging
import os
import time
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from demixing import audio
from demixing.audio.arrays import blocks
from demixing.audio.clipping import Clipping
from demixing.engine import optional
from demixing.engine.demixer import Demixer
from demixing.engine.gating import apply_gates
from demixing.engine.normalisation import measured
from demixing.engine.omissions import Omission
from demixing.engine.progress import Report
from demixing.errors import ConfigError, OutputError, SongError
from demixing.machine import threads
from demixing.process.subprocess_demixer import SubprocessDemixer
from demixing.recipes.recipe import Recipe
from demixing.recipes.tracks import Track
from demixing.schedule.budget import USED, Deadline, positive, song_budget
from demixing.schedule.contention import Contention
from demixing.schedule.costs import Costs

logger = logging.getLogger(__name__)


ISOLATE_VARIABLE = "DEMIX_ISOLATE"
"""Environment variable: ``0`` separates songs in the current process."""

SETUP_VARIABLE = "DEMIX_SETUP_TIME"
"""Environment variable that overrides the contest's setup time, in seconds."""

SETUP_S = 900.0
"""Setup time before the first song: MDX'21's limit, the only published one."""


class Predictor:
    """The model that AIcrowd's wrappers of MDX'23 and CDX'23 expect.

    Missing optional members of the recipe are logged once, at info level.

    Args:
        recipe: determines the track and how it is separated.
        isolate: whether to separate in another process, so that this one survives any crash; if
            None, the environment decides.
        setup_s: setup time in seconds; if None, the environment decides.

    Attributes:
        absent: names of the optional members whose files are missing.
        omissions: what the last song was separated without.
        report: called with each progress event, unless it is None.

    Raises:
        ConfigError: the recipe cannot be built, or the environment's settings are wrong.
    """

    def __init__(
        self, recipe: Recipe, isolate: bool | None = None, setup_s: float | None = None
    ) -> None:
        self.omissions: tuple[Omission, ...] = ()
        self.report: Report | None = None
        self.absent = optional.absent(recipe)
        if advice := optional.advice(recipe):
            logger.info("%s", advice)
        recipe = optional.resolved(recipe, self.absent)
        self._demixer: SubprocessDemixer | Demixer
        if isolated() if isolate is None else isolate:
            self._demixer = SubprocessDemixer(recipe)
            self._demixer.wait(USED * positive(SETUP_VARIABLE, setup_s or SETUP_S))
        else:
            threads.use()
            self._demixer = Demixer(
                recipe, forgiving=True, costs=Costs.at_home(), contention=Contention()
            )

    @property
    def track(self) -> Track:
        """The track of the recipe."""
        return self._demixer.recipe.track

    @property
    def instruments(self) -> list[str]:
        """Names of the stems, in the order of the leaderboard."""
        return list(self._demixer.recipe.track.stems)

    def raise_aicrowd_error(self, msg: str) -> NoReturn:
        """Report ``msg`` like AIcrowd's kits."""
        raise NameError(msg)

    def separate_music_file(
        self, mixed_sound_array: NDArray[Any], sample_rate: int
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, int]]:
        """Separate one song or one clip.

        Args:
            mixed_sound_array: floats with full scale at 1, ``(samples, channels)`` or, for
                mono, ``(samples,)``. Not modified.
            sample_rate: sample rate in Hz.

        Returns:
            By stem: float32 arrays of the shape of the input, and the input's rate.

        Raises:
            SongError: the array is not a valid song.
            OutputError: the stems would violate the contract.
        """
        check_array(mixed_sound_array)
        rate_hz = audio.whole_rate(sample_rate)
        budget_s = song_budget(self._demixer.recipe.track, len(mixed_sound_array) / rate_hz)
        return self.separate_within(budget_s, mixed_sound_array, rate_hz)

    def separate_within(
        self, budget_s: float, mixed_sound_array: NDArray[Any], rate_hz: int
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, int]]:
        """Like :meth:`separate_music_file`, but within ``budget_s`` seconds."""
        check_array(mixed_sound_array)
        self.omissions = ()
        started_s = time.monotonic()
        deadline = Deadline(budget_s)
        frames = mixed_sound_array.reshape(len(mixed_sound_array), -1)
        arrays = {stem: np.empty(frames.shape, dtype=np.float32) for stem in self.instruments}
        clipping = Clipping(self.instruments)
        done = 0
        stream = self._demixer.stream(
            blocks(frames),
            rate_hz,
            samples=len(frames),
            deadline=deadline,
            statistics=measured(self._demixer.recipe, blocks(frames), rate_hz),
            report=self.report,
        )
        for block in stream:
            end = done + block.shape[-1]
            for array, stem in zip(arrays.values(), block.numpy(), strict=True):
                array[done:end] = stem.T
            clipping.count(block)
            done = end
        if done != len(frames):
            raise OutputError(f"expected {len(frames)} separated samples, got {done}")
        self.omissions = self._demixer.omissions
        clipping.warn()
        for stem in apply_gates(self._demixer.recipe.gates, arrays, frames):
            logger.info("%s: considered silent", stem)
        took_s = time.monotonic() - started_s
        logger.info("separated %.1f s of audio in %.1f of %.1f s", done / rate_hz, took_s, budget_s)
        return (
            {stem: array.reshape(mixed_sound_array.shape) for stem, array in arrays.items()},
            dict.fromkeys(arrays, rate_hz),
        )


def isolated() -> bool:
    """Whether the environment requests another process, which is the default.

    Raises:
        ConfigError: the variable is neither 0 nor 1.
    """
    given = os.environ.get(ISOLATE_VARIABLE) or "1"
    if given not in ("0", "1"):
        raise ConfigError(f"expected {ISOLATE_VARIABLE} to be 0 or 1, got {given!r}")
    return given == "1"


def check_array(song: object) -> None:
    """Raise unless ``song`` is an array of floats, ``(samples, channels)`` or ``(samples,)``.

    Raises:
        SongError: the type, the axes or the length are wrong.
    """
    if not isinstance(song, np.ndarray) or song.dtype.kind != "f":
        got = f"{song.dtype} samples" if isinstance(song, np.ndarray) else type(song).__name__
        raise SongError(
            f"expected an array of floats with full scale at 1, got {got}; "
            "read the file with soundfile.read, or divide integers by their full scale"
        )
    if song.ndim not in (1, 2):
        raise SongError(
            f"expected a song of shape (samples, channels) or (samples,), got {song.shape}"
        )
    if song.size == 0:
        raise SongError(f"expected a song of at least one sample, got shape {song.shape}")
