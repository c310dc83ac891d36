"""GTCRN: maps a spectrum of noisy speech to a complex mask, with 24,000 weights.

A frame of 257 bins is reduced to 129 bands, and these to 33 columns of 16 channels. Blocks of
grouped convolutions cover past frames; a recurrent network weights their output by its energy. Two
dual-path layers run across the columns and then forward in time. No layer looks ahead, so the
published graph processes one frame at a time. This network processes all frames at once, several
times faster, with the same output.

Letters: b batch, c channels, t frames, f bins, bands or columns.

Source: Rong et al., "GTCRN: A speech enhancement model requiring ultralow computational
resources", ICASSP 2024; names of tensors are those of the published graph gtcrn_simple.onnx.
"""

import copy
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BINS = 257
KEPT = 65
"""Number of lowest bins that are bands of their own."""
MERGED = 64
"""Bands that the other bins are merged into."""
CHANNELS = 16
COLUMNS = 33
HALF = CHANNELS // 2
"""Channels that a block changes; it copies the others."""

DILATIONS = (1, 2, 5)
"""Frames between the taps of the encoder's blocks; the decoder uses them in reverse order."""

TINY = 1e-12
"""Added to the power of a bin before the square root, as in the graph."""

NORM_EPSILON = 1e-5
"""Epsilon of batch normalisation, as in the graph."""

GRU_GATES = (1, 0, 2)
"""Positions of PyTorch's gates (reset, update, new) in the order of ONNX."""


class GTCRN(nn.Module):
    """The network.

    Shape:
        real and imaginary parts ``(b, 2, t, BINS)`` to those of the mask, same shape.
    """

    merge: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("merge", torch.zeros(BINS - KEPT, MERGED))
        self.register_buffer("spread", torch.zeros(MERGED, BINS - KEPT))
        kernel, stride, padding = (1, 5), (1, 2), (0, 2)
        self.down1 = nn.Conv2d(9, CHANNELS, kernel, stride, padding)
        self.down2 = nn.Conv2d(CHANNELS, CHANNELS, kernel, stride, padding, groups=2)
        self.encoder = nn.ModuleList(Block(dilation) for dilation in DILATIONS)
        self.dual = nn.Sequential(DualPath(), DualPath())
        self.decoder = nn.ModuleList(Block(dilation) for dilation in reversed(DILATIONS))
        self.up2 = nn.ConvTranspose2d(CHANNELS, CHANNELS, kernel, stride, padding, groups=2)
        self.up1 = nn.ConvTranspose2d(CHANNELS, 2, kernel, stride, padding)
        self.slopes = nn.ModuleList(nn.PReLU() for _ in range(3))

    def forward(self, spectrum: Tensor) -> Tensor:
        """See the class."""
        magnitude = spectrum.square().sum(dim=1, keepdim=True).add(TINY).sqrt()
        x = torch.cat([magnitude, spectrum], dim=1)
        x = torch.cat([x[..., :KEPT], x[..., KEPT:] @ self.merge], dim=-1)
        # Each band together with its lower and upper neighbours.
        x = F.pad(x, (1, 1)).unfold(-1, 3, 1).movedim(-1, 2).flatten(1, 2)
        down1 = self.slopes[0](self.down1(x))
        x = self.slopes[1](self.down2(down1))
        skipped = [x]
        for block in self.encoder:
            x = block(x)
            skipped.append(x)
        x = self.dual(x)
        for block in self.decoder:
            x = block(x + skipped.pop())
        x = self.slopes[2](self.up2(x + skipped.pop()))
        x = self.up1(x + down1).tanh()
        return torch.cat([x[..., :KEPT], x[..., KEPT:] @ self.spread], dim=-1)


class Block(nn.Module):
    """Applies convolutions to half of the channels and interleaves them with the other half.

    Args:
        dilation: frames between the three taps in time; the last tap is the current frame.

    Shape:
        ``(b, CHANNELS, t, COLUMNS)`` to the same.
    """

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.past = 2 * dilation
        self.widen = nn.Conv2d(HALF, CHANNELS, (1, 3), padding=(0, 1))
        self.look = nn.Conv2d(
            CHANNELS, CHANNELS, 3, padding=(0, 1), dilation=(dilation, 1), groups=CHANNELS
        )
        self.narrow = nn.Conv2d(CHANNELS, HALF, 1)
        self.slopes = nn.ModuleList(nn.PReLU() for _ in range(2))
        self.gru = nn.GRU(HALF, CHANNELS)
        self.weigh = nn.Linear(CHANNELS, HALF)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        changed, copied = x[:, :HALF], x[:, HALF:]
        changed = self.slopes[0](self.widen(changed))
        changed = self.slopes[1](self.look(F.pad(changed, (0, 0, self.past, 0))))
        changed = self.narrow(changed)
        energy = changed.square().mean(dim=-1)  # (b, c, t)
        weights = self.weigh(self.gru(energy.permute(2, 0, 1))[0]).sigmoid()
        changed = changed * weights.permute(1, 2, 0)[..., None]
        return torch.stack([changed, copied], dim=2).flatten(1, 2)


class DualPath(nn.Module):
    """Recurrent layers across the columns of each frame, then over time in each column.

    In the original, each is a pair of recurrent networks of half the width. Here it is one network
    with zero weights between the halves: steps cost more than products.

    Shape:
        ``(b, CHANNELS, t, COLUMNS)`` to the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.across = nn.GRU(CHANNELS, HALF, batch_first=True, bidirectional=True)
        self.back = nn.GRU(CHANNELS, CHANNELS)
        self.mix = nn.ModuleList(nn.Linear(CHANNELS, CHANNELS) for _ in range(2))
        self.norm = nn.ModuleList(nn.LayerNorm((COLUMNS, CHANNELS), eps=1e-8) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = x.permute(0, 2, 3, 1)  # (b, t, f, c)
        found = self.mix[0](self.across(x.flatten(0, 1))[0])
        x = x + self.norm[0](found.reshape(x.shape))
        rows = x.transpose(0, 1)  # (t, b, f, c)
        found = self.mix[1](self.back(rows.flatten(1, 2))[0])
        x = x + self.norm[1](found.reshape(rows.shape)).transpose(0, 1)
        return x.permute(0, 3, 1, 2)


def prepared(network: GTCRN, dtype: torch.dtype = torch.float32) -> GTCRN:
    """Copy a network for inference.

    Args:
        network: with its weights; not changed.
        dtype: of its weights.
    """
    return copy.deepcopy(network).eval().to(dtype)


def renamed(numbers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the tensors of the published graph to the weights of :class:`GTCRN`.

    The exporter named changed tensors after the operation that uses them, numbered in order of use.
    Batch normalisation is folded into the convolution before it, transposed convolutions of stride
    1 become plain ones, and bands stacked with their neighbours become a wider kernel.

    Args:
        numbers: tensors by their names in the graph, of the shapes of the graph.

    Returns:
        Weights by key, of the shapes of the layers.

    Raises:
        KeyError: a named tensor is missing.
        StopIteration: a numbered tensor is missing.
    """
    graph = _Graph(numbers)
    graph.state["merge"] = next(graph.products)
    graph.read_encoder()
    for index in range(2):
        graph.read_dual(f"dual.{index}", f"dpgrnn{index + 1}")
    graph.read_decoder()
    graph.state["spread"] = next(graph.products)
    return {key: value.float().contiguous() for key, value in graph.state.items()}


class _Graph:
    """Reads the tensors of the graph in order of use, and stores them under our names.

    Args:
        numbers: tensors by their names in the graph.
    """

    def __init__(self, numbers: Mapping[str, Tensor]) -> None:
        used = _in_order(numbers)
        self.numbers = numbers
        self.state: dict[str, Tensor] = {}
        self.convolutions, self.slopes, self.grus, self.products = (
            used[kind] for kind in ("Conv", "PRelu", "GRU", "MatMul")
        )

    def read_encoder(self) -> None:
        """Store the tensors of the two steps down and the blocks after them."""
        for index, name in enumerate(("down1", "down2")):
            self._layer(name, next(self.convolutions), next(self.convolutions))
            self._slope(f"slopes.{index}")
        for index in range(len(DILATIONS)):
            block = f"encoder.{index}"
            self._layer(f"{block}.widen", _beside(next(self.convolutions)), next(self.convolutions))
            self._slope(f"{block}.slopes.0")
            self._layer(f"{block}.look", next(self.convolutions), next(self.convolutions))
            self._slope(f"{block}.slopes.1")
            self._layer(f"{block}.narrow", next(self.convolutions), next(self.convolutions))
            self._attention(block, f"encoder.en_convs.{index + 2}")

    def read_dual(self, block: str, theirs: str) -> None:
        """Store the tensors of one dual-path layer."""
        for place, (ours, name) in enumerate((("across", "intra"), ("back", "inter"))):
            first, second = (_gru([next(self.grus) for _ in range(3)]) for _ in range(2))
            for key, value in first.items():
                self.state[f"{block}.{ours}.{key}"] = _side_by_side(value, second[key])
            weight = next(self.products).T
            if ours == "across":  # both directions of one half came before those of the other
                weight = weight.reshape(CHANNELS, 2, 2, -1).transpose(1, 2).flatten(1)
            self._layer(f"{block}.mix.{place}", weight, self.numbers[f"{theirs}.{name}_fc.bias"])
            norm = (self.numbers[f"{theirs}.{name}_ln.{key}"] for key in ("weight", "bias"))
            self._layer(f"{block}.norm.{place}", *norm)

    def read_decoder(self) -> None:
        """Store the tensors of the last blocks and the two steps up."""
        for index in range(len(DILATIONS)):
            block, theirs = f"decoder.{index}", f"decoder.de_convs.{index}"
            weight, bias = self._folded(f"{theirs}.point_conv1", f"{theirs}.point_bn1")
            self._layer(f"{block}.widen", _beside(weight.transpose(0, 1)), bias)
            self._slope(f"{block}.slopes.0")
            weight, bias = self._folded(
                f"{theirs}.depth_conv.ConvTranspose2d", f"{theirs}.depth_bn", CHANNELS
            )
            self._layer(f"{block}.look", weight.flip(2, 3), bias)
            self._slope(f"{block}.slopes.1")
            weight, bias = self._folded(f"{theirs}.point_conv2", f"{theirs}.point_bn2")
            self._layer(f"{block}.narrow", weight.transpose(0, 1), bias)
            self._attention(block, theirs)
        for index, (name, groups) in enumerate((("up2", 2), ("up1", 1)), start=3):
            theirs = f"decoder.de_convs.{index}"
            self._layer(name, *self._folded(f"{theirs}.conv", f"{theirs}.bn", groups))
        self._slope("slopes.2")

    def _layer(self, name: str, weight: Tensor, bias: Tensor) -> None:
        self.state[f"{name}.weight"], self.state[f"{name}.bias"] = weight, bias

    def _slope(self, name: str) -> None:
        self.state[f"{name}.weight"] = next(self.slopes).reshape(1)

    def _attention(self, block: str, theirs: str) -> None:
        """Store the tensors that weight the channels of a block."""
        for key, value in _gru([next(self.grus) for _ in range(3)]).items():
            self.state[f"{block}.gru.{key}"] = value
        bias = self.numbers[f"{theirs}.tra.att_fc.bias"]
        self._layer(f"{block}.weigh", next(self.products).T, bias)

    def _folded(self, name: str, norm: str, groups: int = 1) -> tuple[Tensor, Tensor]:
        """Return weight ``(in, out / groups, ...)`` and bias with the normalisation folded in."""
        mean, variance, scale, shift = (
            self.numbers[f"{norm}.{key}"].double()
            for key in ("running_mean", "running_var", "weight", "bias")
        )
        factor = scale / (variance + NORM_EPSILON).sqrt()
        weight, bias = (self.numbers[f"{name}.{key}"].double() for key in ("weight", "bias"))
        by_group = weight.reshape(groups, -1, *weight.shape[1:])
        weight = (by_group * factor.reshape(groups, 1, -1, 1, 1)).flatten(0, 1)
        return weight, (bias - mean) * factor + shift


def _in_order(numbers: Mapping[str, Tensor]) -> dict[str, Iterator[Tensor]]:
    """Return the numbered tensors by the operation that uses them, in order of use."""
    found: defaultdict[str, dict[int, Tensor]] = defaultdict(dict)
    for key, value in numbers.items():
        match = re.fullmatch(r"onnx::(\w+)_(\d+)", key)
        # The recurrent networks' other numbered tensors are their initial states.
        if match and (match[1] != "GRU" or value.shape[1] > 1):
            found[match[1]][int(match[2])] = value
    return {kind: iter([few[at] for at in sorted(few)]) for kind, few in found.items()}


def _beside(weight: Tensor) -> Tensor:
    """Return a kernel ``(out, 3 * in, 1, 1)`` on stacked neighbours as ``(out, in, 1, 3)``."""
    return weight.reshape(len(weight), -1, 1, 3)


def _gru(parts: list[Tensor]) -> dict[str, Tensor]:
    """Return weights of ONNX, ``(directions, 3 * hidden, ...)``, by the names of ``nn.GRU``."""
    (biases,) = (part for part in parts if part.ndim == 2)
    into, again = (part for part in parts if part.ndim == 3)
    bias_into, bias_again = biases.chunk(2, dim=1)
    tables = {"weight_ih": into, "weight_hh": again, "bias_ih": bias_into, "bias_hh": bias_again}
    return {
        f"{key}_l0{suffix}": torch.cat([direction.chunk(3)[gate] for gate in GRU_GATES])
        for key, table in tables.items()
        for direction, suffix in zip(table, ("", "_reverse"), strict=False)
    }


def _side_by_side(first: Tensor, second: Tensor) -> Tensor:
    """Join the weights of two recurrent networks gate by gate, without cross connections."""
    gates = zip(first.chunk(3), second.chunk(3), strict=True)
    if first.ndim == 1:
        return torch.cat(list(itertools.chain.from_iterable(gates)))
    return torch.cat([torch.block_diag(*pair) for pair in gates])  # type: ignore[no-untyped-call]
