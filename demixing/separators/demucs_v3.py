"""Demucs v3, hybrid and in the time domain: drums, bass, other and vocals, by a bag of networks.

Bags: mdx, mdx_extra, repro_mdx_a, repro_mdx_a_time_only, repro_mdx_a_hybrid_only and hdemucs_mmi.
The network classes come from the package demucs, see requirements-demucs.txt.

Source: Défossez, "Hybrid spectrogram and waveform source separation", MDX workshop 2021.
"""

import functools
from collections.abc import Sequence

from demixing.separators.demucs import plugin

build = functools.partial(plugin.build, 3)
"""See :func:`demixing.separators.demucs.plugin.build`."""


def required_weights(
    bag: str = "", stems: Sequence[str] | None = None, files: str = ""
) -> list[str]:
    """See :func:`demixing.separators.demucs.plugin.required_weights`."""
    return plugin.required_weights(3, bag, stems, files)


def required_packages() -> list[str]:
    """See :func:`demixing.separators.required_packages`."""
    return ["demucs", "einops", "julius"]
