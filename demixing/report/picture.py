"""Spectrograms as PNG: one byte for each pixel, with a palette from dark to bright."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demixing.report.spectrogram import CEILING_DB, FLOOR_DB

ANCHORS = (
    (11, 10, 26),
    (56, 18, 92),
    (124, 36, 118),
    (194, 66, 96),
    (240, 122, 60),
    (252, 194, 96),
    (255, 246, 214),
)
"""Colours from quiet to loud, equally far apart; brightness grows evenly."""

LEVELS = 81
"""One for each dB: fewer colours than bytes could hold, so files are smaller."""


def png(levels_db: NDArray[np.float64]) -> bytes:
    """Draw levels, ``(rows, columns)``; the first row is at the bottom."""
    place = (levels_db - FLOOR_DB) / (CEILING_DB - FLOOR_DB)
    shades = np.round(np.clip(place, 0, 1) * (LEVELS - 1)).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(shades[::-1])).convert("P")
    image.putpalette(palette().tobytes())
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    return data.getvalue()


def palette() -> NDArray[np.uint8]:
    """The colours, ``(LEVELS, 3)``."""
    places = np.linspace(0, 1, len(ANCHORS))
    wanted = np.linspace(0, 1, LEVELS)
    channels = [np.interp(wanted, places, part) for part in zip(*ANCHORS, strict=True)]
    return np.round(np.stack(channels, axis=1)).astype(np.uint8)


def gradient() -> str:
    """The colours as a gradient of CSS, for the legend."""
    return ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in ANCHORS)
