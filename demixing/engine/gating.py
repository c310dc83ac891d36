"""Applies the gates of a recipe to the stems of a whole song; see :mod:`demixing.ensemble.gate`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demixing.audio.arrays import blocks
from demixing.ensemble.gate import Gate


def apply_gates(
    gates: Mapping[str, Gate], stems: Mapping[str, NDArray[np.float32]], mixture: NDArray[Any]
) -> tuple[str, ...]:
    """Set stems to zero, in place, whose gates expect a better score of silence.

    Args:
        gates: by stem.
        stems: by name, ``(samples, channels)``.
        mixture: floats, ``(samples, channels)``.

    Returns:
        Names of the silenced stems.
    """
    silenced = []
    for stem, gate in gates.items():
        if gate.silences(energy(stems[stem]), energy(mixture)):
            stems[stem][:] = 0
            silenced.append(stem)
    return tuple(silenced)


def energy(frames: NDArray[Any]) -> float:
    """Sum of the squares of all samples, as float32, added in float64 block by block.

    Args:
        frames: ``(samples, channels)``.

    >>> energy(np.full((3, 2), 2.0))
    24.0
    """
    return sum(float(block.double().square().sum()) for block in blocks(frames))
