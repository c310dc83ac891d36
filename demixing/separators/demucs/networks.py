"""Networks of Demucs v3 and v4, of the classes of the package demucs, from the contents of a file.

The package is optional and imported nowhere else; a file only names one of three of its classes.
"""

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from demixing.errors import CheckpointError, ConfigError
from demixing.networks.loading import empty, fill
from demixing.weights.readers import DEMUCS_CLASSES, Contents


def build(contents: Contents, name: str, stems: Sequence[str], *, renamed: bool = False) -> Any:
    """Build the network that a file names, and fill it.

    Args:
        contents: of the file. Arguments that the class does not know are left out, as demucs does:
            some files are older than it, and some newer.
        name: of the weights, for messages.
        stems: that the network must give, in its order.
        renamed: whether the file may call them otherwise.

    Raises:
        CheckpointError: the file is of another network.
        ConfigError: demucs is not installed.
    """
    kind = _class_of(contents.network, name)
    known = inspect.signature(kind).parameters
    arguments = {key: value for key, value in contents.arguments.items() if key in known}
    try:
        network = empty(lambda: kind(**arguments))
    except (TypeError, ValueError, AssertionError) as error:
        raise CheckpointError(
            f"the arguments of the weights {name!r} make no {contents.network}: {error}"
        ) from error
    known_stems = list(network.sources)
    if known_stems != list(stems) and not (renamed and len(known_stems) == len(stems)):
        raise CheckpointError(
            f"expected the weights {name!r} to give {', '.join(stems)}, "
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
            "pip install --no-deps --requirement requirements-demucs.txt"
        ) from error


def keep(network: Any, outputs: Sequence[int]) -> list[int]:
    """Let a network compute only some of its outputs from its last layers on, where it can.

    Args:
        network: changed in place. One with a Wiener filter needs all outputs and is left alone.
        outputs: that are wanted.

    Returns:
        Those that it gives now, in its order.
    """
    everything = list(range(len(network.sources)))
    last = [_last_layer(getattr(network, part, None)) for part in ("decoder", "tdecoder")]
    layers = [layer for layer in last if layer is not None]
    kept = [output for output in everything if output in outputs]
    if not getattr(network, "cac", True) or not layers or kept == everything:
        return everything
    for layer in layers:
        each = layer.out_channels // len(everything)
        rows = [each * output + channel for output in kept for channel in range(each)]
        layer.weight = nn.Parameter(layer.weight.detach()[:, rows].clone())
        layer.bias = nn.Parameter(layer.bias.detach()[rows].clone())
        layer.out_channels = len(rows)
    network.sources = [network.sources[output] for output in kept]
    return kept


def _last_layer(decoder: Any) -> Any:
    """The transposed convolution of a decoder that gives all outputs; None if there is none."""
    if not decoder:
        return None
    step = decoder[-1]
    if isinstance(step, nn.Sequential):
        return step[-1]
    # A norm after it would hear all outputs.
    return step.conv_tr if isinstance(step.norm2, nn.Identity) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Strides:
    """What lengths a network without a spectrogram takes: those at which no stride leaves a rest.

    Attributes:
        depth: strided convolutions, and as many transposed ones.
        kernel: of them.
        stride: of them.
        doubled: whether the network hears twice the rate.
    """

    depth: int
    kernel: int
    stride: int
    doubled: bool

    @classmethod
    def of(cls, network: Any) -> "Strides":
        """Read them off a network."""
        return cls(
            depth=network.depth,
            kernel=network.kernel_size,
            stride=network.stride,
            doubled=bool(network.resample),
        )

    def __call__(self, samples: int) -> int:
        """Return the next length from ``samples`` on.

        >>> Strides(depth=1, kernel=8, stride=4, doubled=False)(21)
        24
        """
        length = samples * (1 + self.doubled)
        for _ in range(self.depth):
            length = max(-(-(length - self.kernel) // self.stride) + 1, 1)
        for _ in range(self.depth):
            length = (length - 1) * self.stride + self.kernel
        return -(-length // 2) if self.doubled else length


def lengths(network: Any) -> Callable[[int], int]:
    """How many samples a network wants for so many in their middle."""
    return Strides.of(network) if f"{type(network).__module__}" == "demucs.demucs" else int
