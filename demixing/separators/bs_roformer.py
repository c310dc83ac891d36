"""BS-RoFormer: band-split transformers, for vocals or several stems; needs a GPU.

Reads the files of Music-Source-Separation-Training and a config in the sections of its YAML files.

Source: Lu, Wang, Kong, Hung, "Music source separation with band-split RoPE transformer", ICASSP
2024.
"""

import functools
from collections.abc import Mapping

from torch import Tensor, nn

from demixing.errors import CheckpointError
from demixing.networks import roformer_state
from demixing.networks.bs_roformer import BSRoFormer
from demixing.separators.msst import plugin, roformer
from demixing.separators.msst.config import Config
from demixing.weights import loading

build = functools.partial(plugin.build, "bs_roformer", "bs_roformer_musdb")
"""See :func:`demixing.separators.msst.plugin.build`."""


def required_weights(checkpoint: str = "") -> list[str]:
    """See :func:`demixing.separators.msst.plugin.required_weights`."""
    return plugin.required_weights("bs_roformer_musdb", checkpoint)


def recognises(config: Config) -> bool:
    """Whether a config describes a BS-RoFormer."""
    return roformer.recognises(config, "freqs_per_bands", without="num_bands")


def network(config: Config, state: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    """Build the network of a file on the meta device, without its weights.

    Args:
        config: sizes follow from the weights.
        state: weights by the authors' key names.

    Returns:
        The network, and the weights for it: without prefixes and constants.

    Raises:
        CheckpointError: these are not the weights of a BS-RoFormer.
        ConfigError: the config has values out of range, or is of another file.
    """
    file = roformer.read(config, state)
    if "layers.0.0.norm.gamma" in file.state:
        raise CheckpointError("expected the weights of a BS-RoFormer, got a Mel-Band RoFormer's")
    bins, total = file.n_fft // 2 + 1, sum(file.widths)
    channels = total // (2 * bins)
    if (
        channels not in (1, 2)
        or total != 2 * channels * bins
        or any(width % (2 * channels) for width in file.widths)
    ):
        raise config.refused(
            "model.stft_n_fft",
            f"a length of which the bands of the weights, {total} numbers, contain all {bins} bins "
            "of 1 or 2 channels,",
        )
    arguments = file.arguments(channels)
    return loading.empty(
        lambda: BSRoFormer(
            freqs_per_bands=[width // (2 * channels) for width in file.widths],
            mask_estimator_depth=file.sizes.hidden_layers + 1,
            **arguments,
        )
    ), roformer_state.learned(file.state, file.sizes)
