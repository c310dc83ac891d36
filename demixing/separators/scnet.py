"""SCNet: four stems, by a network that compresses the bands of a spectrum by different factors.

Files of weights are those of the authors, or of MSST's trainer, whose YAML sections hold what does
not follow from the shapes of the weights: the STFT, and how its bins are split. The masked variant
is recognised by its keys.

Source: Tong, Zhu, Chen, Kang, Li, Wu, Meng, "SCNet: sparse compression network for music source
separation", ICASSP 2024; MSST is https://github.com/ZFTurbo/Music-Source-Separation-Training.
"""

import functools
import itertools
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from demixing.errors import CheckpointError, ConfigError
from demixing.networks import scnet_fast
from demixing.networks.scnet import BANDS, SPECTRUM, SCNet
from demixing.separators.msst import plugin
from demixing.weights import loading

KEYS = frozenset({"band_SR", "band_stride", "num_dplayer"})
"""Keys of the section ``model`` that no other system has together."""

TRANSFORMERS = "tran_"
"""Prefix of such keys in another system, an SCNet with transformers."""

DEFAULTS: dict[str, Any] = {"nfft": 4096, "hop_size": 1024, "normalized": True}
"""Values of the original for keys that a config may leave out."""

LARGEST_FRAME = 65_536
"""Longest accepted window in samples."""

MOST_FRAMES = 16
"""Most frames that a sample may be in."""

LARGEST_STRIDE = 64

WRAPPER = "module."
"""Prefix of all keys in files that were saved by several GPUs."""


ANSWERS_SILENCE = True
"""Its convolutions have biases, and only the masked variant multiplies the mixture."""

rewrite = scnet_fast.rewrite
"""See :mod:`demixing.separators.msst`."""

build = functools.partial(plugin.build, "scnet", "scnet_small")
"""See :func:`demixing.separators.msst.plugin.build`."""


def required_weights(checkpoint: str = "") -> list[str]:
    """See :func:`demixing.separators.msst.plugin.required_weights`."""
    return plugin.required_weights("scnet_small", checkpoint)


def recognises(config: Mapping[str, Any]) -> bool:
    """Return whether a config is one of SCNet.

    Args:
        config: sections of MSST's YAML.
    """
    model = config.get("model")
    if not isinstance(model, Mapping) or not model.keys() >= KEYS:
        return False
    return not any(str(key).startswith(TRANSFORMERS) for key in model)


def network(
    config: Mapping[str, Any], state: Mapping[str, Tensor]
) -> tuple[nn.Module, dict[str, Tensor]]:
    """Build the network of a file on the meta device.

    Args:
        config: sections of MSST's YAML. Only ``model`` is read, and from it what does not follow
            from the weights: the STFT, shares, strides and the names of the stems.
        state: the weights.

    Returns:
        The network, and the weights by its keys.

    Raises:
        CheckpointError: the weights are not those of an SCNet.
        ConfigError: the config is wrong, or is for other weights.
    """
    weights = _unwrapped(state)
    model = config.get("model")
    if not isinstance(model, Mapping):
        raise ConfigError(f"the config of an SCNet needs a section model, got {model!r:.60}")
    sizes = _sizes(weights)
    options = _options(model, int(sizes["sources"]))
    try:
        made = loading.empty(lambda: SCNet(**sizes, **options))
    except ValueError as error:
        raise ConfigError(f"this config does not fit the weights of the SCNet: {error}") from error
    return made, weights


def _unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights without the prefix of a wrapper."""
    if state and all(key.startswith(WRAPPER) for key in state):
        return {key.removeprefix(WRAPPER): value for key, value in state.items()}
    return dict(state)


def _sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of :class:`SCNet` that follow from the shapes of the weights.

    Raises:
        CheckpointError: weights are missing, or have too few axes.
    """
    convs = [f"encoder.{{}}.SDlayer.convs.{band}.weight" for band in range(BANDS)]
    levels = _count(state, convs[0])
    shapes = [_shape(state, convs[0].format(level), 4) for level in range(max(levels, 1))]
    dims = (shapes[0][1], *(shape[0] for shape in shapes))
    depths = [
        _count(state, f"encoder.0.conv_modules.{band}.layers.{{}}.1.weight")
        for band in range(BANDS)
    ]
    band = next((band for band, depth in enumerate(depths) if depth), 0)
    branch = _shape(state, f"encoder.0.conv_modules.{band}.layers.0.1.weight", 3)
    path = "separation_net.dp_modules.{}.lstm_layers.0.weight_hh_l0"
    outputs = _shape(state, f"decoder.{levels - 1}.1.convtrs.0.weight", 4)[1]
    return {
        "sources": max(outputs // SPECTRUM, 1),
        "dims": dims,
        "band_kernel": tuple(_shape(state, conv.format(0), 4)[2] for conv in convs),
        "conv_depths": tuple(depths),
        "compress": max(dims[1] // max(branch[0] // 2, 1), 1),
        "conv_kernel": branch[2],
        "num_dplayer": _count(state, path),
        "expand": max(_shape(state, path.format(0), 2)[1] // dims[-1], 1),
        "masked": "pos_embed_f" in state,
    }


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """Return how many consecutive numbers, from 0, make a key from ``pattern``."""
    return next(index for index in itertools.count() if pattern.format(index) not in state)


def _shape(state: Mapping[str, Tensor], key: str, axes: int) -> tuple[int, ...]:
    """Return the shape of one tensor.

    Raises:
        CheckpointError: it is missing, empty or has another number of axes.
    """
    shape = tuple(state[key].shape) if key in state else ()
    if len(shape) != axes or 0 in shape:
        what = f"of shape {shape}" if key in state else "missing"
        raise CheckpointError(
            f"expected the weights of an SCNet, with {key} of {axes} axes; it is {what}"
        )
    return shape


def _options(model: Mapping[str, Any], sources: int) -> dict[str, Any]:
    """Return the arguments of :class:`SCNet` that a config has to give.

    Raises:
        ConfigError: a value is missing, of a wrong type or out of range.
    """
    model = DEFAULTS | dict(model)
    frame = _whole("nfft", model["nfft"], 16, LARGEST_FRAME)
    if frame % 2:
        raise ConfigError(f"model.nfft must be even, got {frame}")
    if model.get("win_size", frame) != frame:
        raise ConfigError(
            f"model.win_size must equal model.nfft, {frame}, got {model['win_size']!r:.60}"
        )
    if not isinstance(model["normalized"], bool):
        raise ConfigError(
            f"model.normalized must be true or false, got {model['normalized']!r:.60}"
        )
    names = model.get("sources")
    if names is not None and (not isinstance(names, list | tuple) or len(names) != sources):
        raise ConfigError(
            f"model.sources must name the {sources} stems of the weights, got {names!r:.60}"
        )
    hop = _whole("hop_size", model["hop_size"], -(-frame // MOST_FRAMES), frame // 2)
    if frame % hop:
        raise ConfigError(f"model.hop_size must divide model.nfft, {frame}, got {hop}")
    strides = _three(model, "band_stride")
    return {
        "nfft": frame,
        "hop_size": hop,
        "normalized": model["normalized"],
        "band_shares": _shares(_three(model, "band_SR")),
        "band_stride": tuple(_whole("band_stride", one, 1, LARGEST_STRIDE) for one in strides),
    }


def _whole(key: str, value: object, least: int, most: int) -> int:
    """Return a whole number of the section ``model``.

    Raises:
        ConfigError: it is none, or out of range.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(
            f"model.{key} must be a whole number from {least} to {most}, got {value!r:.60}"
        )
    return value


def _three(model: Mapping[str, Any], key: str) -> list[Any]:
    """Return a list with one value per band.

    Raises:
        ConfigError: it is missing or something else.
    """
    value = model.get(key)
    if not isinstance(value, list | tuple) or len(value) != BANDS:
        raise ConfigError(
            f"model.{key} must be a list of {BANDS} numbers, for the low, middle and high band, "
            f"got {value!r:.60}"
        )
    return list(value)


def _shares(values: list[Any]) -> tuple[float, float]:
    """Return the shares of the low and the middle band.

    Raises:
        ConfigError: the values are not shares, or no bins remain for the high band.
    """
    numbers = all(isinstance(one, int | float) and 0 < one < 1 for one in values)
    if not numbers or not values[0] + values[1] < 1:
        raise ConfigError(
            f"model.band_SR must be three shares above 0 whose sum is 1, got {values!r:.60}"
        )
    return float(values[0]), float(values[1])
