"""Demucs v4 (Hybrid Transformer Demucs): drums, bass, other and vocals, six stems, or film sound.

The classes of the networks come from the package demucs, see requirements-demucs.txt.

Source: Rouard, Massa, Défossez, "Hybrid transformers for music source separation", ICASSP 2023.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from demixing.separators.demucs import bags

if TYPE_CHECKING:  # `uses` must not cost the seconds of torch's import
    from demixing.separators.demucs.hybrid import Hybrid


def uses(bag: str = "htdemucs", stems: Sequence[str] | None = None, files: str = "") -> list[str]:
    """Names of the files in the register; arguments are those of :func:`build`."""
    return bags.find(bag, generation=4).needed(stems, files)


def build(
    bag: str = "htdemucs",
    stems: Sequence[str] | None = None,
    segment_s: float | None = None,
    overlap: float | None = None,
    precision: str = "fp32",
    files: str = "",
) -> "Hybrid":
    """Load a bag.

    Args:
        bag: one of models/bags.toml: htdemucs, htdemucs_ft (one network for each stem) or
            htdemucs_6s, which gives guitar and piano, too; cdx23 (trained on DnR alone) gives
            dialog, effect and music.
        stems: those that are wanted; None: all. Networks that count for none are not loaded.
        segment_s: length of the segments; None: as the networks were trained, 7.8 s.
        overlap: of a segment, with the next, as a part of it; None: a quarter, the usual one.
        precision: of the networks, see :mod:`demixing.networks.execution`.
        files: whose, see :meth:`demixing.separators.demucs.bags.Bag.files`.

    Raises:
        CheckpointError: a file is missing, altered or of another network.
        ConfigError: demucs is not installed, or an option is impossible.
    """
    return bags.separator(
        bags.find(bag, generation=4),
        stems=stems,
        segment_s=segment_s,
        overlap=overlap,
        precision=precision,
        family=files,
    )
