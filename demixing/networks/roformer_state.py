"""What the tensors of a RoFormer's file tell about its network.

Sizes follow from names and shapes, so no configuration has to be believed about them. Not in a file
are the STFT's hop, the order of the stems, skip connections, and whether the lowest bin is zero.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from demixing.errors import CheckpointError
from demixing.networks.roformer import Sizes, frequencies

FIRST = "band_split.to_features.0.0.gamma"
"""A key of every file."""

CONSTANTS = {"rotary_embed.freqs": False, "pope_embed.inv_freqs": True}
"""Last part of the keys of constants, and whether they belong to PoPE."""

TOLERANCE = 1e-3
"""Relative deviation of a constant; files in half precision contain rounded ones."""


def unprefixed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict without the prefix that wrappers add to all keys.

    Raises:
        CheckpointError: no key is the one that every file has.

    >>> list(unprefixed({"module." + FIRST: torch.ones(8)}))
    ['band_split.to_features.0.0.gamma']
    """
    for key in state:
        if key == FIRST or key.endswith("." + FIRST):
            prefix = key.removesuffix(FIRST)
            return {name.removeprefix(prefix): value for name, value in state.items()}
    raise CheckpointError(f"expected the weights of a RoFormer, but there is no {FIRST}")


def sizes_of(state: Mapping[str, Tensor], *, skip_connection: bool = False) -> Sizes:
    """Return the sizes of the network that a file belongs to.

    Args:
        state: from :func:`unprefixed`.
        skip_connection: see :class:`demixing.networks.roformer.Sizes`.

    Raises:
        CheckpointError: a tensor that tells a size is missing or has no such shape.
    """
    depths = [_count(state, f"layers.0.{index}.layers.") for index in range(3)]
    linear = depths.pop(0) if depths[2] else 0
    attention = f"layers.0.{1 if linear else 0}.layers.0.0."
    dim = _width(state, "band_split.to_features.0.1.weight")
    heads = _width(state, attention + "to_gates.weight")
    linear_layers = _count(state, "mask_estimators.0.to_freqs.0.0.")
    hidden = _width(state, "mask_estimators.0.to_freqs.0.0.0.weight")
    sizes = Sizes(
        dim=dim,
        depth=_count(state, "layers."),
        time_transformer_depth=depths[0],
        freq_transformer_depth=depths[1],
        linear_transformer_depth=linear,
        dim_head=_width(state, attention + "to_qkv.weight") // (3 * heads),
        heads=heads,
        num_stems=_count(state, "mask_estimators."),
        mlp_expansion_factor=hidden // dim if linear_layers > 1 else 1,
        hidden_layers=linear_layers - 1,
        use_pope=attention + "pope_embed.bias" in state,
        skip_connection=skip_connection,
    )
    # Building a network takes time for each of its layers, so a file must have tensors for them.
    if sizes.depth * (linear + sum(depths)) > len(state):
        raise CheckpointError(
            f"expected weights of {sizes.depth} blocks like the first one, got {len(state)} tensors"
        )
    return sizes


def widths_of(state: Mapping[str, Tensor]) -> list[int]:
    """Return the numbers per band and frame: real and imaginary parts of channels and bins.

    Raises:
        CheckpointError: as of :func:`sizes_of`.
    """
    bands = range(_count(state, "band_split.to_features."))
    return [_width(state, f"band_split.to_features.{band}.0.gamma") for band in bands]


def learned(state: Mapping[str, Tensor], sizes: Sizes) -> dict[str, Tensor]:
    """Return a state dict without the constants that positions are made of.

    They are computed again, since those in files of half precision are rounded: a network was
    trained with the exact ones.

    Raises:
        CheckpointError: a constant has another value, so the network is another one.
    """
    kept = {}
    for key, value in state.items():
        pope = next((is_pope for end, is_pope in CONSTANTS.items() if key.endswith(end)), None)
        if pope is None:
            kept[key] = value
        elif not _close(value, frequencies(sizes.dim_head, pope=pope)):
            raise CheckpointError(
                f"expected {key} as for {sizes.dim_head} features and a base of 10000, got other "
                "values; networks with other positions are not supported"
            )
    return kept


def _close(value: Tensor, expected: Tensor) -> bool:
    """Whether a tensor has the shape of another one and nearly its values."""
    same = value.shape == expected.shape
    return same and torch.allclose(value.cpu().float(), expected, rtol=TOLERANCE, atol=0)


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Return the number of different parts that follow a prefix in keys."""
    start = len(prefix)
    return len({key[start:].partition(".")[0] for key in state if key.startswith(prefix)})


def _width(state: Mapping[str, Tensor], key: str) -> int:
    """Return the length of a tensor's first axis, at least 1."""
    value = state.get(key)
    if value is None or not value.shape or not value.shape[0]:
        raise CheckpointError(
            f"expected the weights of a RoFormer with a tensor {key}, "
            f"got {'none' if value is None else tuple(value.shape)}"
        )
    return int(value.shape[0])
