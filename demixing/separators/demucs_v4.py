"""Demucs v4 (Hybrid Transformer Demucs): drums, bass, other and vocals, six stems, or film sound.

Bags: htdemucs; htdemucs_ft, one network for each stem; htdemucs_6s, which adds guitar and piano;
and cdx23, trained on DnR alone, which outputs dialog, effect and music. The network classes come
from the package demucs, see requirements-demucs.txt.

Source: Rouard, Massa, Défossez, "Hybrid transformers for music source separation", ICASSP 2023.
"""

import functools
from collections.abc import Sequence

from demixing.separators.demucs import plugin

build = functools.partial(plugin.build, 4)
"""See :func:`demixing.separators.demucs.plugin.build`."""


def required_weights(
    bag: str = "", stems: Sequence[str] | None = None, files: str = ""
) -> list[str]:
    """See :func:`demixing.separators.demucs.plugin.required_weights`."""
    return plugin.required_weights(4, bag, stems, files)


def required_packages() -> list[str]:
    """See :func:`demixing.separators.required_packages`."""
    return ["demucs", "einops", "julius"]
