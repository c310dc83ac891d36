"""BandIt v2 and BandIt Plus: film sound into speech, music and effects.

One network serves both; the key names of the weights show which one they are for.

Source: see :mod:`demixing.networks.bandit`.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from demixing.errors import CheckpointError
from demixing.networks.bandit import PLUS, Bandit, bands_of, bin_weights, renamed
from demixing.separators.msst import plugin
from demixing.separators.msst.config import Config
from demixing.weights.loading import empty

FIXED: dict[str, tuple[Any, ...]] = {
    "band_type": ("musical",),
    "band_specs": ("musical",),
    "in_channels": (1,),
    "in_channel": (1,),
    "rnn_type": ("GRU",),
    "bidirectional": (True,),
    "hidden_activation": ("Tanh",),
    "complex_mask": (True,),
    "use_freq_weights": (True,),
    "mult_add_mask": (False,),
    "normalize_channel_independently": (False,),
    "treat_channel_as_feature": (True,),
    "window_fn": ("hann_window",),
    "normalized": (True,),
    "center": (True,),
    "onesided": (True,),
    "power": (None,),
    "pad_mode": ("constant", "reflect"),
}
"""Options that must have one of these values, as in all published networks.

The first one is used if the option is missing."""

MOST_STEMS = 16
FRAME_LIMITS = (64, 4096)
"""Limits of the length of a window; the pitch of the bands of longer ones is another one."""

LIMITS = {"n_bands": (2, 256), "n_sqm_modules": (1, 64)}
WIDEST = 4096
"""Limit of the widths of layers."""

CLOSE = 1e-5
"""Largest error of a constant in a file."""


build = functools.partial(plugin.build, "bandit", "bandit_v2_multi")
"""See :func:`demixing.separators.msst.plugin.build`."""


def required_weights(checkpoint: str = "") -> list[str]:
    """See :func:`demixing.separators.msst.plugin.required_weights`."""
    return plugin.required_weights("bandit_v2_multi", checkpoint)


def recognises(config: Config) -> bool:
    """Whether a config is for BandIt v2 or Plus."""
    keys = config.keys("model")
    return "n_sqm_modules" in keys and bool(keys & {"band_type", "band_specs"})


def network(config: Config, state: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    """Build the network of a config on the meta device.

    Widths are those of the weights.

    Args:
        config: not trusted.
        state: by the keys of v2 or of Plus, without a trainer's prefix.

    Returns:
        The network, and the weights by its keys, without constants and second copies.

    Raises:
        CheckpointError: the weights are for another network, or a constant is not what it should
            be.
        ConfigError: an option is missing, has the wrong type, or is not supported.
    """
    fixed = {key: config.one_of(f"model.{key}", *values) for key, values in FIXED.items()}
    low, high = FRAME_LIMITS
    frame = config.integer("model.n_fft", 2048, least=low, most=high, even=True)
    config.one_of("model.win_length", None, frame)
    hop = config.integer("model.hop_length", frame // 4, most=frame // 2)
    sizes = {
        key: config.integer(f"model.{key}", least=least, most=most)
        for key, (least, most) in LIMITS.items()
    }
    needs = f"a list of 1 to {MOST_STEMS} different words"
    stems = tuple(config.checked("model.stems", needs, _are_stems))
    config.check_outputs(len(stems))
    plus = any(key.startswith(PLUS) for key in state)
    ours = renamed(state) if plus else dict(state)
    widths = _widths(ours, stems[0])
    made = empty(
        lambda: Bandit(
            stems=stems,
            **sizes,
            **widths,
            n_fft=frame,
            hop_length=hop,
            pad_mode=fixed["pad_mode"],
            parts_first=plus,
        )
    )
    return made, _without_constants(ours, frame, sizes["n_bands"])


def _are_stems(value: Any) -> bool:
    """Whether a value is a list of the names of stems, which become names of modules."""
    return (
        isinstance(value, list | tuple)
        and 0 < len(value) <= MOST_STEMS
        and all(isinstance(stem, str) and re.fullmatch(r"\w{1,60}", stem) for stem in value)
        and len(set(value)) == len(value)
        and not any(hasattr(nn.ModuleDict(), stem) for stem in value)
    )


def _widths(state: Mapping[str, Tensor], stem: str) -> dict[str, int]:
    """Return the widths of the layers.

    Args:
        state: by the keys of v2.
        stem: one of the stems.

    Raises:
        CheckpointError: there are none, or they are absurd.
    """
    widths = {}
    for name, key, parts in (
        ("emb_dim", "tf_model.seqband.0.norm.weight", 1),
        ("rnn_dim", "tf_model.seqband.0.rnn.weight_hh_l0", 3),
        ("mlp_dim", f"mask_estim.{stem}.norm_mlp.0.hidden.0.bias", 1),
    ):
        found = state.get(key)
        width = 0 if found is None or found.dim() == 0 else len(found) // parts
        if not 0 < width <= WIDEST:
            raise CheckpointError(
                f"the weights are not for BandIt with a stem {stem!r}: expected {key} with 1 to "
                f"{parts * WIDEST} rows, got {'none' if found is None else tuple(found.shape)}"
            )
        widths[name] = width
    return widths


def _without_constants(state: Mapping[str, Tensor], frame: int, count: int) -> dict[str, Tensor]:
    """Drop windows, weights of bins, and second copies, after checking them.

    Args:
        state: by the keys of v2.
        frame: length of the window in samples.
        count: number of bands.

    Raises:
        CheckpointError: one has another value.
    """
    bands = bands_of(frame // 2, count)
    share = bin_weights(bands)
    kept = {}
    for key, value in state.items():
        if key in ("stft.window", "istft.window"):
            _check(key, value, torch.hann_window(frame))
        elif found := re.fullmatch(r"mask_estim\.\w+\.freq_weights/(\d{1,3})", key):
            start, end = bands[int(found[1])] if int(found[1]) < count else (0, 0)
            _check(key, value, share[start:end])
        elif found := re.fullmatch(r"(mask_estim\..*)\.combined\.([012])\.(.*)", key):
            own = ("norm", "hidden", "output")[int(found[2])]
            twin = state.get(f"{found[1]}.{own}.{found[3]}")
            _check(key, value, torch.empty(0) if twin is None else twin)
        else:
            kept[key] = value
    return kept


def _check(key: str, value: Tensor, expected: Tensor) -> None:
    """Raise unless a tensor has the expected values.

    Raises:
        CheckpointError: it has not.
    """
    if value.shape != expected.shape or not torch.allclose(
        value.double(), expected.double(), rtol=0, atol=CLOSE
    ):
        raise CheckpointError(
            f"the weights are for another network than BandIt with this configuration: expected "
            f"a constant {key[:60]} of shape {tuple(expected.shape)}, got other values"
        )
