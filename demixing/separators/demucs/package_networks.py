"""Networks from the package demucs, v3 and v4, built from the contents of a weight file.

The package is optional and only imported here. A file names one of three of its classes.
"""

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from demixing.errors import CheckpointError, ConfigError
from demixing.machine.installation import install_command
from demixing.weights.loading import empty, fill
from demixing.weights.readers import DEMUCS_CLASSES, Contents

UNPREPARED: dict[str, Any] = {"emb_smooth": False, "rescale": 0}
"""Arguments that only change the weights before training, which the file replaces.

To compute those on its meta device, torch imports its compiler and sympy, which takes longer than
reading the file.
"""


def build(contents: Contents, name: str, stems: Sequence[str], *, renamed: bool = False) -> Any:
    """Build the network that a file names, and fill it.

    Args:
        contents: of the file. Arguments that the class does not have are ignored, as demucs does:
            some files are older than the class, and some are newer.
        name: of the weights, for messages.
        stems: outputs that the network must have, in order.
        renamed: whether the file may name the stems differently.

    Raises:
        CheckpointError: the file is for another network.
        ConfigError: the package demucs is not installed.
    """
    kind = _class_of(contents.network, name)
    known = inspect.signature(kind).parameters
    arguments = {key: value for key, value in contents.arguments.items() if key in known}
    arguments |= {key: value for key, value in UNPREPARED.items() if key in known}
    try:
        network = empty(lambda: kind(**arguments))
    except (TypeError, ValueError, AssertionError) as error:
        raise CheckpointError(
            f"the arguments of the weights {name!r} are invalid for {contents.network}: {error}"
        ) from error
    known_stems = list(network.sources)
    if known_stems != list(stems) and not (renamed and len(known_stems) == len(stems)):
        raise CheckpointError(
            f"expected the weights {name!r} to output {', '.join(stems)}, "
            f"got {', '.join(known_stems)}"
        )
    fill(network, contents.state, name)
    return network


def _class_of(network: str, name: str) -> Callable[..., Any]:
    """Import the class of a network by its full name; see :func:`build`."""
    if network not in DEMUCS_CLASSES:
        raise CheckpointError(
            f"expected the weights {name!r} to name one of {', '.join(DEMUCS_CLASSES)}, "
            f"got {network!r}"
        )
    module, _, kind = network.rpartition(".")
    try:
        return getattr(importlib.import_module(module), kind)  # type: ignore[no-any-return]
    except ImportError as error:
        raise ConfigError(
            f"Demucs v3 and v4 need the package demucs, which cannot be imported ({error}); run: "
            + install_command("demucs")
        ) from error


def keep_outputs(network: Any, outputs: Sequence[int]) -> list[int]:
    """Remove outputs from the last layers of a network, if it allows that.

    Args:
        network: changed in place. One with a Wiener filter needs all outputs and is left alone.
        outputs: indices of the outputs to keep.

    Returns:
        Indices of the outputs that are left, in the network's order.
    """
    everything = list(range(len(network.sources)))
    last = [_last_layer(getattr(network, part, None)) for part in ("decoder", "tdecoder")]
    layers = [layer for layer in last if layer is not None]
    left = [output for output in everything if output in outputs]
    if not getattr(network, "cac", True) or not layers or left == everything:
        return everything
    for layer in layers:
        channels = layer.out_channels // len(everything)
        rows = [channels * output + channel for output in left for channel in range(channels)]
        layer.weight = nn.Parameter(layer.weight.detach()[:, rows].clone())
        layer.bias = nn.Parameter(layer.bias.detach()[rows].clone())
        layer.out_channels = len(rows)
    network.sources = [network.sources[output] for output in left]
    return left


def _last_layer(decoder: Any) -> Any:
    """Return the transposed convolution that produces all outputs, or None."""
    if not decoder:
        return None
    step = decoder[-1]
    if isinstance(step, nn.Sequential):
        return step[-1]
    # A normalisation after it would need all outputs.
    return step.conv_tr if isinstance(step.norm2, nn.Identity) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Strides:
    """Valid input lengths of a network without a spectrogram: every stride divides evenly.

    Attributes:
        depth: number of strided convolutions, and of transposed ones.
        kernel: their length in samples.
        stride: their stride in samples.
        upsampled: whether the network works at twice the sample rate.
    """

    depth: int
    kernel: int
    stride: int
    upsampled: bool

    @classmethod
    def of(cls, network: Any) -> "Strides":
        """Read them from the attributes of a ``demucs.demucs.Demucs``."""
        return cls(
            depth=network.depth,
            kernel=network.kernel_size,
            stride=network.stride,
            upsampled=bool(network.resample),
        )

    def __call__(self, samples: int) -> int:
        """Return the shortest accepted length of at least ``samples`` samples.

        >>> Strides(depth=1, kernel=8, stride=4, upsampled=False)(21)
        24
        """
        length = samples * (1 + self.upsampled)
        for _ in range(self.depth):
            length = max(-(-(length - self.kernel) // self.stride) + 1, 1)
        for _ in range(self.depth):
            length = (length - 1) * self.stride + self.kernel
        return -(-length // 2) if self.upsampled else length


def lengths(network: Any) -> Callable[[int], int]:
    """Return the function from the length of a segment to the required input length."""
    return Strides.of(network) if type(network).__module__ == "demucs.demucs" else int
