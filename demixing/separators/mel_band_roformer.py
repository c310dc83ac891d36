"""Mel-Band RoFormer: transformers on overlapping bands, mostly for vocals; needs a GPU.

Reads the files of Music-Source-Separation-Training and a config in the sections of its YAML files.

Source: Wang, Lu, Won, "Mel-band RoFormer for music source separation", 2023.
"""

import functools
from collections.abc import Mapping

from torch import Tensor, nn

from demixing.errors import CheckpointError
from demixing.networks import roformer_state
from demixing.networks.mel_band_roformer import MelBandRoFormer, mel_bands
from demixing.separators.msst import plugin, roformer
from demixing.separators.msst.config import Config
from demixing.weights import loading

RATES_HZ = (8_000, 192_000)
"""Lowest and highest sample rate."""


build = functools.partial(plugin.build, "mel_band_roformer", "mel_band_roformer_kim")
"""See :func:`demixing.separators.msst.plugin.build`."""


def required_weights(checkpoint: str = "") -> list[str]:
    """See :func:`demixing.separators.msst.plugin.required_weights`."""
    return plugin.required_weights("mel_band_roformer_kim", checkpoint)


def recognises(config: Config) -> bool:
    """Whether a config describes a Mel-Band RoFormer."""
    return roformer.recognises(config, "num_bands", without="freqs_per_bands")


def network(config: Config, state: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    """Build the network of a file on the meta device, without its weights.

    Args:
        config: sizes follow from the weights.
        state: weights by the authors' key names.

    Returns:
        The network, and the weights for it: without prefixes and constants.

    Raises:
        CheckpointError: these are not the weights of a Mel-Band RoFormer.
        ConfigError: the config has values out of range, or is of another file.
    """
    file = roformer.read(config, state)
    if "final_norm.gamma" in file.state:
        raise CheckpointError("expected the weights of a Mel-Band RoFormer, got a BS-RoFormer's")
    low, high = RATES_HZ
    rate = config.integer("model.sample_rate", 44_100, least=low, most=high)
    bands = [len(band) for band in mel_bands(rate, file.n_fft, len(file.widths))]
    channels = file.widths[0] // (2 * max(bands[0], 1))
    if channels not in (1, 2) or file.widths != [2 * channels * band for band in bands]:
        raise config.refused(
            "model.stft_n_fft",
            f"a length of which {len(bands)} mel bands are those of the weights at {rate} Hz",
        )
    arguments = file.arguments(channels)
    return loading.empty(
        lambda: MelBandRoFormer(
            num_bands=len(bands),
            sample_rate=rate,
            mask_estimator_depth=file.sizes.hidden_layers,
            **arguments,
        )
    ), roformer_state.learned(file.state, file.sizes)
