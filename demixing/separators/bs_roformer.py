"""BS-RoFormer: band-split transformers, for vocals or several stems; needs a GPU.

Reads the files of Music-Source-Separation-Training and a config in the sections of its YAML files.

Source: Lu, Wang, Kong, Hung, "Music source separation with band-split RoPE transformer", ICASSP
2024.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from demixing.errors import CheckpointError, ConfigError
from demixing.networks import roformer_state
from demixing.networks.bs_roformer import BSRoFormer
from demixing.networks.roformer import Sizes
from demixing.separators.msst import plugin
from demixing.weights import loading

SECTIONS = ("model", "kwargs")
"""Names of the section with the arguments of the network."""

COMPARED = (
    *("dim", "depth", "num_stems", "heads", "dim_head", "use_pope", "stereo", "num_bands"),
    *("time_transformer_depth", "freq_transformer_depth", "linear_transformer_depth"),
)
"""Keys of a config that must agree with the weights; otherwise it belongs to another file.

The depth of the mask networks is not compared, since its meaning differs between programs."""


build = functools.partial(plugin.build, "bs_roformer", "bs_roformer_musdb")
"""See :func:`demixing.separators.msst.plugin.build`."""


def required_weights(checkpoint: str = "") -> list[str]:
    """See :func:`demixing.separators.msst.plugin.required_weights`."""
    return plugin.required_weights("bs_roformer_musdb", checkpoint)


def recognises(config: Mapping[str, Any]) -> bool:
    """Whether a config in the sections of MSST's YAML describes a BS-RoFormer."""
    return is_roformer(config, "freqs_per_bands", without="num_bands")


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
        CheckpointError: these are not the weights of a BS-RoFormer.
        ConfigError: the config has values out of range, or is of another file.
    """
    model, state = section(config), roformer_state.unprefixed(state)
    if "layers.0.0.norm.gamma" in state:
        raise CheckpointError("expected the weights of a BS-RoFormer, got a Mel-Band RoFormer's")
    sizes, widths = read_sizes(model, state), roformer_state.widths_of(state)
    spectrum = stft_options(model)
    bins = spectrum["stft_n_fft"] // 2 + 1
    channels = sum(widths) // (2 * bins)
    if channels not in (1, 2) or sum(widths) != 2 * channels * bins or not _even(widths, channels):
        raise ConfigError(
            f"expected an stft_n_fft of which the bands of the weights contain all {bins} bins of "
            f"1 or 2 channels, got bands of {sum(widths)} numbers; use the config of this file"
        )
    compare(model, sizes, stereo=channels == 2, num_bands=len(widths))
    return loading.empty(
        lambda: BSRoFormer(
            freqs_per_bands=[width // (2 * channels) for width in widths],
            mask_estimator_depth=sizes.hidden_layers + 1,
            stereo=channels == 2,
            zero_dc=flag(model, "zero_dc", default=True),
            **spectrum,
            **options(sizes),
        )
    ), roformer_state.learned(state, sizes)


def is_roformer(config: Mapping[str, Any], bands: str, *, without: str) -> bool:
    """Whether a config describes transformers on a kind of bands.

    Args:
        config: in the sections of MSST's YAML.
        bands: key of this kind of bands.
        without: key of the other kind.
    """
    model = _model(config)
    if not isinstance(model, Mapping) or any("conformer" in str(key) for key in model):
        return False
    return all(key in model for key in ("dim", "depth", bands)) and without not in model


def section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the section with the arguments of the network.

    Raises:
        ConfigError: there is none.
    """
    model = _model(config)
    if not isinstance(model, Mapping):
        raise ConfigError(
            f"expected a config with a section model, got one with {', '.join(map(str, config))}"
        )
    return model


def read_sizes(model: Mapping[str, Any], state: Mapping[str, Tensor]) -> Sizes:
    """Return the sizes of a network, see :func:`demixing.networks.roformer_state.sizes_of`."""
    skips = flag(model, "skip_connection", default=False)
    return roformer_state.sizes_of(state, skip_connection=skips)


def stft_options(model: Mapping[str, Any]) -> dict[str, int]:
    """Return the window and the hop of the STFT as arguments of a network.

    Whether the spectrum is normalised makes no difference: the network normalises its input, and
    its masks are factors.

    Raises:
        ConfigError: they are out of range, or the window is shorter than the transform.
    """
    frame = integer(model, "stft_n_fft", 2048, low=64, high=16_384)
    hop = integer(model, "stft_hop_length", 512, low=frame // 16, high=frame // 2)
    integer(model, "stft_win_length", 2048, low=frame, high=frame)  # no other is supported
    if frame % 2:
        raise ConfigError(f"expected an even model.stft_n_fft, got {frame}; correct the config")
    return {"stft_n_fft": frame, "stft_hop_length": hop}


def options(sizes: Sizes) -> dict[str, Any]:
    """Return the arguments of both networks that are sizes."""
    fields = dataclasses.asdict(sizes)
    del fields["hidden_layers"]
    return fields


def compare(model: Mapping[str, Any], sizes: Sizes, **others: int) -> None:
    """Check that a config belongs to the weights.

    Args:
        model: its section.
        sizes: of the weights.
        others: further values of the weights, by their keys in a config.

    Raises:
        ConfigError: a value differs.
    """
    found = dataclasses.asdict(sizes) | others
    for key in COMPARED:
        if key in model and model[key] != found[key]:
            raise ConfigError(
                f"expected model.{key} = {found[key]}, as in the weights, got {model[key]!r}; "
                "use the config that was published with this file"
            )


def integer(model: Mapping[str, Any], key: str, default: int, *, low: int, high: int) -> int:
    """Return a whole number of a config.

    Raises:
        ConfigError: it is none, or not from ``low`` to ``high``.
    """
    value = model.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(
            f"expected model.{key} as a whole number from {low} to {high}, got {value!r}; "
            "correct the config"
        )
    return value


def flag(model: Mapping[str, Any], key: str, *, default: bool) -> bool:
    """Return a yes or no of a config.

    Raises:
        ConfigError: it is neither.
    """
    value = model.get(key, default)
    if not isinstance(value, bool):
        raise ConfigError(f"expected model.{key} as true or false, got {value!r}; correct it")
    return value


def _even(widths: list[int], channels: int) -> bool:
    """Whether each band has whole bins."""
    return all(width % (2 * channels) == 0 for width in widths)


def _model(config: Mapping[str, Any]) -> Any:
    """Return the section with the arguments of the network, whatever it is; None if absent."""
    return next((config[name] for name in SECTIONS if name in config), None)
