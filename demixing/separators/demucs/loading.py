"""Builds separators from bags whose files are installed."""

import math
from collections.abc import Sequence
from typing import Any

from demixing.errors import ConfigError
from demixing.plugins import did_you_mean
from demixing.separator import distinct
from demixing.separators.demucs import bag_separator, package_networks
from demixing.separators.demucs.bag_separator import BagMember, BagSeparator
from demixing.separators.demucs.bags import Bag
from demixing.weights import checkpoints
from demixing.weights.checkpoints import Checkpoint


def load(
    bag: Bag,
    *,
    stems: Sequence[str] | None = None,
    segment_s: float | None = None,
    overlap: float | None = None,
    precision: str = "fp32",
    family: str = "",
) -> BagSeparator:
    """Load the networks of a bag that have a weight in the stems, and build a separator.

    Args:
        bag: the bag.
        stems: the stems to separate; None: all.
        segment_s: length of a segment in seconds; None: the authors' choice.
        overlap: fraction of a segment that is cross-faded with the next one; None: the authors'
            choice.
        precision: see :mod:`demixing.networks.execution`.
        family: of the files, see :meth:`demixing.separators.demucs.bags.Bag.files`.

    Raises:
        CheckpointError: a file is missing, altered or of another network.
        ConfigError: the package demucs is not installed, or an option is invalid.
    """
    wanted = _checked(bag, stems)
    overlap = bag.overlap if overlap is None else overlap
    if not 0 <= overlap < 1:
        raise ConfigError(f"expected an overlap from 0 to less than 1, got {overlap}")
    files, shares = bag.files(family), bag.shares(wanted)
    members, longest_s = [], math.inf
    for name in bag.members:
        if any(shares[name]):
            entry = checkpoints.find(files[name])
            network = _network(entry, bag)
            longest_s = min(longest_s, float(network.segment))
            members.append(_member(network, entry, bag, wanted, shares[name], precision))
    return bag_separator.join(
        members,
        wanted,
        segment_s=_segment_s(bag, segment_s, longest_s),
        any_length=bag.generation == 3,
        overlap=overlap,
        normalises=bag.normalises,
    )


def _checked(bag: Bag, stems: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the stems; for None, all of them. See :func:`load`."""
    wanted = distinct(list(bag.stems) if stems is None else stems)
    for stem in wanted:
        if stem not in bag.stems:
            raise ConfigError(
                f"the bag {bag.name!r} does not output {stem!r}{did_you_mean(stem, [*bag.stems])}"
            )
    return wanted


def _member(
    network: Any,
    entry: Checkpoint,
    bag: Bag,
    stems: Sequence[str],
    shares: Sequence[float],
    precision: str,
) -> BagMember:
    """Remove unneeded outputs from a network, and prepare it.

    Args:
        network: with its weights; changed in place.
        entry: catalogue entry of its weights.
        bag: the bag that it belongs to.
        stems: of the separator.
        shares: weights of the network's outputs in these stems.
        precision: see :func:`load`.
    """
    outputs = [bag.stems.index(stem) for stem in stems]
    counting = [output for output, share in zip(outputs, shares, strict=True) if share]
    left = package_networks.keep_outputs(network, counting)
    return bag_separator.prepare_member(
        network,
        shares,
        [left.index(output) if output in left else 0 for output in outputs],
        lengths=package_networks.lengths(network),
        in_place=True,
        precision=precision,
        bf16_change_db=entry.bf16_change_db,
    )


def _segment_s(bag: Bag, segment_s: float | None, longest_s: float) -> float:
    """Return the length of segments in seconds, and reject what the networks do not support."""
    segment_s = bag.segment_s or longest_s if segment_s is None else segment_s
    if bag.generation == 3:
        longest_s = math.inf  # only version 4's networks pad their input to a fixed length
    if not 0 < segment_s <= longest_s:
        raise ConfigError(
            f"the bag {bag.name!r} takes segments of more than 0 and at most {longest_s:g} s, "
            f"got {segment_s:g} s"
        )
    return segment_s


def _network(entry: Checkpoint, bag: Bag) -> Any:
    """Load one network; the file's contents do not stay in memory."""
    contents = checkpoints.contents(entry)
    return package_networks.build(contents, entry.name, bag.stems, renamed=bag.renamed)
