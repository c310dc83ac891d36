"""Separates as the contest's predictor does, but without a time limit; used for measuring scores.

With a deadline, however distant, the planner chooses settings and chunks. Without one, as in
``separate``, each member uses its first setting.
"""

import dataclasses
import math

import numpy as np
import torch
from numpy.typing import NDArray

from demixing.audio import BLOCK
from demixing.engine.demixer import Demixer
from demixing.engine.normalisation import measured
from demixing.engine.progress import Report
from demixing.machine import threads
from demixing.recipes.recipe import Recipe
from demixing.schedule.budget import Deadline
from demixing.schedule.costs import Costs


def ready(recipe: Recipe, *, once: bool = False) -> Demixer:
    """Build the members of a recipe.

    Args:
        recipe: the recipe.
        once: only keep each member's first setting, which has no test-time augmentation.

    Raises:
        ConfigError: a member's name or options are wrong.
        CheckpointError: a member's weights are missing or damaged.
    """
    threads.use()
    if once:
        members = [dataclasses.replace(one, settings=one.settings[:1]) for one in recipe.members]
        recipe = dataclasses.replace(recipe, members=tuple(members))
    return Demixer(recipe, costs=Costs.at_home())


def separated(
    demixer: Demixer, mixture: NDArray[np.float64], rate_hz: int, report: Report | None = None
) -> dict[str, NDArray[np.float32]]:
    """Separate a song.

    Args:
        demixer: runs the recipe.
        mixture: ``(samples, channels)``.
        rate_hz: of the mixture.
        report: called with each progress event.

    Returns:
        Stems by name, ``(samples, channels)``.

    Raises:
        SongError: the song is empty, not finite, or in an unsupported format.
    """
    song = torch.from_numpy(np.array(mixture.T, dtype=np.float32, order="C"))
    blocks = torch.split(song, BLOCK, dim=-1)
    stream = demixer.stream(
        blocks,
        rate_hz,
        samples=song.shape[-1],
        deadline=Deadline(math.inf),
        statistics=measured(demixer.recipe, blocks, rate_hz),
        report=report,
    )
    stems = torch.cat(list(stream), dim=-1).transpose(1, 2).numpy()
    return dict(zip(demixer.recipe.track.stems, stems, strict=True))
