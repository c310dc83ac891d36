"""A waveform as inline SVG: small, and in the colour of the text."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COLUMNS, HEIGHT = 300, 40
"""Size of the drawing in its own units; a page may stretch it."""


def peaks(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest magnitude in each of up to :data:`COLUMNS` equal parts of a sound.

    Args:
        audio: ``(samples, channels)``, not empty.

    >>> peaks(np.array([[0.0, -0.5], [0.25, 0.0]], np.float32)).tolist()
    [0.5, 0.25]
    """
    starts = np.linspace(0, len(audio), min(COLUMNS, len(audio)), endpoint=False)
    parts = np.maximum.reduceat(np.abs(audio), starts.astype(np.int64), axis=0)
    found: NDArray[np.float32] = parts.max(axis=1)  # last, because two columns are slow to reduce
    return found


def svg(heights: Sequence[float], label: str, shown: tuple[float, float] | None = None) -> str:
    """Draw a waveform.

    Args:
        heights: magnitudes from 0 to 1, at most :data:`COLUMNS`.
        label: what it shows, for people who cannot see it; already escaped.
        shown: start and end of a part that is marked, from 0 to 1.
    """
    middle, step = HEIGHT / 2, COLUMNS / max(len(heights), 1)
    bars = "".join(
        f"M{index * step:.4g} {middle - high:.3g}v{2 * high:.3g}"
        for index, height in enumerate(heights)
        if (high := max(middle * min(height, 1.0), 0.3))
    )
    mark = ""
    if shown:
        left, right = (COLUMNS * one for one in shown)
        mark = (
            f'<rect x="{left:.4g}" y="0" width="{right - left:.4g}" height="{HEIGHT}" '
            'fill="currentColor" opacity="0.12"></rect>'
        )
    return (
        f'<svg viewBox="0 0 {COLUMNS} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}" style="display:block;width:100%;height:{HEIGHT}px">{mark}'
        f'<path d="{bars}" stroke="currentColor" stroke-width="0.8" fill="none"></path></svg>'
    )
