"""TFC-TDF v3: KUIELab's networks of the Sound Demixing Challenge 2023, and MDX23C.

Source: Kim, Lee, Jung, "Sound demixing challenge 2023: music demixing track technical report",
arXiv:2306.09382.
"""

import functools
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from demixing.errors import CheckpointError, ConfigError
from demixing.networks.tfc_tdf import CHANNELS
from demixing.networks.tfc_tdf_v3 import NO_NORM, TFCTDFv3
from demixing.separators.msst import plugin
from demixing.separators.msst.config import Config
from demixing.weights.loading import empty

ONLY_HERE = frozenset(
    {"num_subbands", "num_scales", "num_blocks_per_scale", "bottleneck_factor", "growth"}
)
"""Keys of the section ``model`` that no other system has together."""

MOST_CHANNELS = 2**16
"""Upper limit of channels and bins, far above those of any known file."""

LONGEST_WINDOW = 2**18
"""Upper limit of n_fft: six seconds."""

MOST_BLOCKS = 32
"""Upper limit of scales, and of blocks per scale."""


build = functools.partial(plugin.build, "tfc_tdf_v3", "kuielab_mdx_a_seed0")
"""See :func:`demixing.separators.msst.plugin.build`."""


def required_weights(checkpoint: str = "") -> list[str]:
    """See :func:`demixing.separators.msst.plugin.required_weights`."""
    return plugin.required_weights("kuielab_mdx_a_seed0", checkpoint)


def recognises(config: Config) -> bool:
    """Whether a config is one of this system."""
    return config.keys("model") >= ONLY_HERE


def network(config: Config, state: Mapping[str, Tensor]) -> tuple[TFCTDFv3, dict[str, Tensor]]:
    """Build the network of a file on the meta device, without weights.

    The shapes of the weights determine most sizes. Only the STFT, the norm, the activation and the
    rounding of the bottleneck's width do not follow from them. The sizes in the config must be the
    same.

    Args:
        config: not trusted.
        state: weights of the file.

    Returns:
        The network and the weights to fill it with.

    Raises:
        CheckpointError: the weights are not of this system.
        ConfigError: the config is incomplete, out of range or of another file.
    """
    sizes = _sizes(state)
    config.agrees("audio.num_channels", 2)
    config.one_of("inference.method", "msst", "kuielab", "bandit")  # others cut shorter chunks
    for key in sizes.keys() - {"stems"}:
        config.agrees(f"{'audio' if key == 'dim_f' else 'model'}.{key}", sizes[key])
    config.check_outputs(sizes["stems"])
    n_fft = config.integer("audio.n_fft", least=2, most=LONGEST_WINDOW, even=True)
    options: dict[str, Any] = {
        "n_fft": n_fft,
        "hop_length": config.integer("audio.hop_length", most=n_fft // 2),
        "bottleneck_factor": config.integer("model.bottleneck_factor", most=MOST_CHANNELS),
        "norm": config.text("model.norm") if _has_norms(state) else NO_NORM,
        "act": config.text("model.act"),
    }
    try:
        return empty(lambda: TFCTDFv3(**sizes, **options)), dict(state)
    except ValueError as error:
        raise ConfigError(
            f"the config of {config.name} is not one of TFC-TDF v3: {error}"
        ) from error


def _sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Derive the sizes of a network from the shapes of its weights.

    Returns:
        Arguments of :class:`demixing.networks.tfc_tdf_v3.TFCTDFv3`.

    Raises:
        CheckpointError: a weight is missing or has an impossible shape.
    """
    channels, stacked, *_ = _shape(state, "first_conv.weight", 4)
    outputs, *_ = _shape(state, "final_conv.2.weight", 4)
    widest, *_ = _shape(state, "bottleneck_block.blocks.0.tfc1.2.weight", 4)
    scales = _count(state, "encoder_blocks.")
    if stacked % CHANNELS or outputs % stacked or (widest - channels) % scales:
        raise CheckpointError(
            "expected weights of TFC-TDF v3, with a multiple of 4 input channels, a multiple of "
            f"those as outputs and as many new channels in each of its scales, got {stacked}, "
            f"{outputs}, and {widest - channels} new channels in {scales} scales"
        )
    _, _, *scale = _shape(state, "encoder_blocks.0.downscale.conv.2.weight", 4)
    _, bins = _shape(state, "encoder_blocks.0.tfc_tdf.blocks.0.tdf.2.weight", 2)
    subbands = stacked // CHANNELS
    return {
        "dim_f": bins * subbands,
        "num_subbands": subbands,
        "num_scales": scales,
        "scale": tuple(scale),
        "num_blocks_per_scale": _count(state, "bottleneck_block.blocks."),
        "num_channels": channels,
        "growth": (widest - channels) // scales,
        "stems": outputs // stacked,
    }


def _shape(state: Mapping[str, Tensor], key: str, axes: int) -> tuple[int, ...]:
    """Return the shape of a weight.

    Raises:
        CheckpointError: the weight is missing, or its shape is impossible.
    """
    shape = tuple(state[key].shape) if key in state else ()
    if len(shape) != axes or not all(0 < size <= MOST_CHANNELS for size in shape):
        raise CheckpointError(
            f"expected weights of TFC-TDF v3 with a {key} of {axes} axes and at most "
            f"{MOST_CHANNELS} channels, got {f'the shape {shape}' if shape else 'none'}"
        )
    return shape


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Return the number of blocks whose keys begin so; if they have gaps, filling fails.

    Raises:
        CheckpointError: there are none or too many.
    """
    count = len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})
    if not 0 < count <= MOST_BLOCKS:
        raise CheckpointError(
            f"expected weights of TFC-TDF v3 with 1 to {MOST_BLOCKS} of {prefix}*, got {count}"
        )
    return count


def _has_norms(state: Mapping[str, Tensor]) -> bool:
    """Whether the network has norms; the authors' code has none if it does not know the name."""
    return "bottleneck_block.blocks.0.tfc1.0.weight" in state
