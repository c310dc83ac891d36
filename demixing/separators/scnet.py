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
from demixing.separators.msst.config import Config
from demixing.weights import loading

KEYS = frozenset({"band_SR", "band_stride", "num_dplayer"})
"""Keys of the section ``model`` that no other system has together."""

TRANSFORMERS = "tran_"
"""Prefix of such keys in another system, an SCNet with transformers."""

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


def recognises(config: Config) -> bool:
    """Whether a config is one of SCNet."""
    keys = config.keys("model")
    return keys >= KEYS and not any(key.startswith(TRANSFORMERS) for key in keys)


def network(config: Config, state: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    """Build the network of a file on the meta device.

    Args:
        config: only ``model`` is read, and from it what does not follow from the weights: the
            STFT, shares, strides and the names of the stems.
        state: the weights.

    Returns:
        The network, and the weights by its keys.

    Raises:
        CheckpointError: the weights are not those of an SCNet.
        ConfigError: the config is wrong, or is for other weights.
    """
    weights = _unwrapped(state)
    sizes = _sizes(weights)
    options = _options(config, int(sizes["sources"]))
    config.check_outputs(int(sizes["sources"]))
    try:
        made = loading.empty(lambda: SCNet(**sizes, **options))
    except ValueError as error:
        raise ConfigError(
            f"the config of {config.name} does not fit the weights: {error}"
        ) from error
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


def _options(config: Config, sources: int) -> dict[str, Any]:
    """Return the arguments of :class:`SCNet` that a config has to give.

    Raises:
        ConfigError: a value is missing, of a wrong type or out of range.
    """
    frame = config.integer("model.nfft", 4096, least=16, most=LARGEST_FRAME, even=True)
    config.one_of("model.win_size", frame)
    least = -(-frame // MOST_FRAMES)
    hop = config.integer("model.hop_size", 1024, least=least, most=frame // 2)
    if frame % hop:
        raise config.refused("model.hop_size", f"a divisor of nfft, {frame},")
    config.checked(
        "model.sources",
        f"a list of the {sources} stems of the weights",
        lambda value: value is None or _has(value, sources),
    )
    strides = f"a list of {BANDS} integers from 1 to {LARGEST_STRIDE}"
    shares = f"a list of {BANDS} shares above 0 whose sum is 1"
    return {
        "nfft": frame,
        "hop_size": hop,
        "normalized": config.flag("model.normalized", default=True),
        "band_shares": tuple(config.checked("model.band_SR", shares, _are_shares)[:-1]),
        "band_stride": tuple(config.checked("model.band_stride", strides, _are_strides)),
    }


def _has(value: Any, count: int) -> bool:
    """Whether a value is a list of this length."""
    return isinstance(value, list | tuple) and len(value) == count


def _are_strides(value: Any) -> bool:
    """Whether a value is a list of strides, one per band."""
    return _has(value, BANDS) and all(
        type(one) is int and 1 <= one <= LARGEST_STRIDE for one in value
    )


def _are_shares(value: Any) -> bool:
    """Whether a value is a list of shares, one per band; the last one is what remains."""
    return (
        _has(value, BANDS)
        and all(isinstance(one, int | float) and 0 < one < 1 for one in value)
        and sum(value[:-1]) < 1
    )
