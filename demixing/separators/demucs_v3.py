"""Demucs v3, hybrid and in the time domain: drums, bass, other and vocals, by a bag of networks.

The classes of the networks come from the package demucs, see requirements-demucs.txt.

Source: Défossez, "Hybrid spectrogram and waveform source separation", MDX workshop 2021.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from demixing.separators.demucs import bags

if TYPE_CHECKING:  # `uses` must not cost the seconds of torch's import
    from demixing.separators.demucs.hybrid import Hybrid


def uses(bag: str = "mdx", stems: Sequence[str] | None = None, files: str = "") -> list[str]:
    """Names of the files in the register; arguments are those of :func:`build`."""
    return bags.find(bag, generation=3).needed(stems, files)


def build(
    bag: str = "mdx",
    stems: Sequence[str] | None = None,
    segment_s: float | None = None,
    overlap: float | None = None,
    precision: str = "fp32",
    files: str = "",
) -> "Hybrid":
    """Load a bag.

    Args:
        bag: one of models/bags.toml: mdx, mdx_extra, repro_mdx_a, repro_mdx_a_time_only,
            repro_mdx_a_hybrid_only or hdemucs_mmi.
        stems: those that are wanted; None: all. Networks that count for none are not loaded.
        segment_s: length of the segments; None: 44 s, as the authors have it. Memory grows with it.
        overlap: of a segment, with the next, as a part of it; None: a quarter, the usual one.
        precision: of the networks, see :mod:`demixing.networks.execution`.
        files: whose, see :meth:`demixing.separators.demucs.bags.Bag.files`.

    Raises:
        CheckpointError: a file is missing, altered or of another network.
        ConfigError: demucs is not installed, or an option is impossible.
    """
    return bags.separator(
        bags.find(bag, generation=3),
        stems=stems,
        segment_s=segment_s,
        overlap=overlap,
        precision=precision,
        family=files,
    )
