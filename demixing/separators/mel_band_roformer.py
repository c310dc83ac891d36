"""Mel-Band RoFormer: transformers on overlapping bands, mostly for vocals; needs a GPU.

Reads the files of Music-Source-Separation-Training and a config in the sections of its YAML files.

Source: Wang, Lu, Won, "Mel-band RoFormer for music source separation", 2023.
"""

import functools
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from demixing.errors import CheckpointError, ConfigError
from demixing.networks import roformer_state
from demixing.networks.mel_band_roformer import MelBandRoFormer, mel_bands
from demixing.separators.bs_roformer import (
    compare,
    flag,
    integer,
    is_roformer,
    options,
    read_sizes,
    section,
    stft_options,
)
from demixing.separators.msst import plugin
from demixing.weights import loading

RATES_HZ = (8_000, 192_000)
"""Lowest and highest sample rate."""


build = functools.partial(plugin.build, "mel_band_roformer", "mel_band_roformer_kim")
"""See :func:`demixing.separators.msst.plugin.build`."""


def required_weights(checkpoint: str = "") -> list[str]:
    """See :func:`demixing.separators.msst.plugin.required_weights`."""
    return plugin.required_weights("mel_band_roformer_kim", checkpoint)


def recognises(config: Mapping[str, Any]) -> bool:
    """Whether a config in the sections of MSST's YAML describes a Mel-Band RoFormer."""
    return is_roformer(config, "num_bands", without="freqs_per_bands")


def network(
    config: Mapping[str, Any], state: Mapping[str, Tensor]
) -> tuple[nn.Module, dict[str, Tensor]]:
    """Build the network of a file on the meta device, without its weights.

    Args:
        config: in the sections of MSST's YAML. Sizes follow from the weights.
        state: weights by the authors' key names.

    Returns:
        The network, and the weights for it: without prefixes and constants.

    Raises:
        CheckpointError: these are not the weights of a Mel-Band RoFormer.
        ConfigError: the config has values out of range, or is of another file.
    """
    model, state = section(config), roformer_state.unprefixed(state)
    if "final_norm.gamma" in state:
        raise CheckpointError("expected the weights of a Mel-Band RoFormer, got a BS-RoFormer's")
    sizes, widths = read_sizes(model, state), roformer_state.widths_of(state)
    spectrum = stft_options(model)
    low, high = RATES_HZ
    rate = integer(model, "sample_rate", 44_100, low=low, high=high)
    bands = [len(band) for band in mel_bands(rate, spectrum["stft_n_fft"], len(widths))]
    channels = widths[0] // (2 * max(bands[0], 1))
    if channels not in (1, 2) or widths != [2 * channels * band for band in bands]:
        raise ConfigError(
            f"expected an stft_n_fft and a sample_rate for which {len(widths)} mel bands are those "
            f"of the weights, got {spectrum['stft_n_fft']} and {rate}; use the config of this file"
        )
    compare(model, sizes, stereo=channels == 2, num_bands=len(widths))
    return loading.empty(
        lambda: MelBandRoFormer(
            num_bands=len(widths),
            sample_rate=rate,
            mask_estimator_depth=sizes.hidden_layers,
            stereo=channels == 2,
            zero_dc=flag(model, "zero_dc", default=True),
            **spectrum,
            **options(sizes),
        )
    ), roformer_state.learned(state, sizes)
