"""Shared implementation of the separators ``demucs_v3`` and ``demucs_v4``.

It says how they are built, and which weight files they need.

There is a plug-in file for each name that recipes use, but the versions only differ in their bags
in models/bags.toml. torch is imported when a bag is built: listing the weights of a recipe must not
cost the seconds of that import.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from demixing.separators.demucs import bags

if TYPE_CHECKING:
    from demixing.separators.demucs.bag_separator import BagSeparator

DEFAULT_BAGS = {3: "mdx", 4: "htdemucs"}
"""The default bag, by version."""


def required_weights(
    version: int, bag: str = "", stems: Sequence[str] | None = None, files: str = ""
) -> list[str]:
    """Return the catalogue names of the weights that :func:`build` opens.

    Args:
        version: 3 or 4; for the others, see :func:`build`.
        bag: see there.
        stems: see there.
        files: see there.

    Raises:
        ConfigError: there is no such bag.
    """
    return bags.find(bag or DEFAULT_BAGS[version], version).needed(stems, files)


def build(
    version: int,
    bag: str = "",
    stems: Sequence[str] | None = None,
    segment_s: float | None = None,
    overlap: float | None = None,
    precision: str = "fp32",
    files: str = "",
) -> "BagSeparator":
    """Load a bag of networks.

    Args:
        version: 3 or 4.
        bag: name in models/bags.toml; "": see :data:`DEFAULT_BAGS`.
        stems: the stems to separate; None: all. Networks that contribute to none of these stems
            are not loaded.
        segment_s: length of a segment in seconds; None: as the authors chose it, 44 s for version 3
            and 7.8 s for version 4. Memory grows with it. Version 4 does not accept longer
            segments.
        overlap: part of a segment that is cross-faded with the next one; None: as the authors chose
            it, a quarter for Demucs' own bags.
        precision: of the networks, see :mod:`demixing.networks.execution`.
        files: origin of the files, see :meth:`demixing.separators.demucs.bags.Bag.files`.

    Raises:
        CheckpointError: a file is missing, altered or of another network.
        ConfigError: the package demucs is not installed, or an option is invalid.
    """
    from demixing.separators.demucs import loading

    return loading.load(
        bags.find(bag or DEFAULT_BAGS[version], version),
        stems=stems,
        segment_s=segment_s,
        overlap=overlap,
        precision=precision,
        family=files,
    )
