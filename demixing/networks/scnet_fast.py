"""A copy of SCNet for inference: the same function, with fewer products and memory passes.

Letters as in :mod:`demixing.networks.scnet`. What differs from the plain network:

* Tensors ``(b, c, f, t)`` are channels last in memory, that is ``(b, f, t, c)``, in all layers. The
  CPU's convolutions are fastest there, each row of a band is an image of height one, and sequences
  for the LSTMs are views or copies of whole rows of channels.
* The decoder convolves the same tensor twice, with two sets of weights; their sum does so once.
* The spectrum of the frames is a transform over an inner axis whose output needs no copy: its real
  and imaginary parts are neighbouring channels, and the weights around it are reordered for this.
* Transposed convolutions crop their ends themselves.
* Optionally, products of the LSTMs and the decoder are computed in bfloat16. Everything else stays
  in float32: in the encoder, bfloat16 would cost 12 dB of agreement for a few per cent of time.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks.attention import Linear
from demixing.networks.convolutions import Convolution, gated
from demixing.networks.scnet import Band, SCNet, padding

LAST = torch.channels_last

BLOCK = 2**22
"""Numbers that an LSTM writes at once: 16 MiB."""


class FastSCNet(nn.Module):
    """See the module; shapes and values are those of the plain network.

    Args:
        network: with its weights.
        dtype: of the products.
    """

    def __init__(self, network: SCNet, dtype: torch.dtype) -> None:
        super().__init__()
        self.sources, self.hop_size = network.sources, network.hop_size
        self.transform, self.levels = network.transform, network.levels
        self.encoder = nn.ModuleList(FastEncoder(layer) for layer in network.encoder)
        self.separation_net = nn.ModuleList(
            FastDualPath(layer, dtype, spectral=index % 2 == 1)
            for index, layer in enumerate(network.separation_net.dp_modules)
        )
        steps: list[Any] = list(network.decoder)
        self.fusions = nn.ModuleList(FastFusion(fusion, dtype) for fusion, _ in steps)
        self.expansions = nn.ModuleList(
            FastExpansion(expansion, bands)
            for (_, expansion), bands in zip(steps, reversed(self.levels), strict=True)
        )
        offset = network.pos_embed_f.detach() if network.masked else None
        self.register_buffer("offset", offset)
        self.masks = FastMasks(network.mask_layer, dtype) if network.masked else None

    def forward(self, mixtures: Tensor) -> Tensor:
        """See :class:`demixing.networks.scnet.SCNet`."""
        samples = mixtures.shape[-1]
        zeros = padding(samples, self.hop_size, self.transform.frame)
        mixture = self.transform(F.pad(mixtures, (0, zeros)))
        channels = torch.view_as_real(mixture).permute(0, 1, 4, 2, 3).flatten(1, 2)
        parts = self._stems(channels).permute(0, 2, 3, 1).float()
        parts = parts.reshape(*parts.shape[:3], self.sources, 2, 2)
        spectrum = torch.view_as_complex(parts).permute(0, 3, 4, 1, 2)
        if self.masks is not None:
            spectrum = spectrum * mixture[:, None]
        return self.transform.inverse(spectrum)[..., :samples]

    def _stems(self, x: Tensor) -> Tensor:
        """Map the mixture's spectrum ``(b, 4, f, t)`` to the stems' or masks ``(b, 4 s, f, t)``."""
        if isinstance(self.offset, Tensor):
            x = x + self.offset
        x = x.contiguous(memory_format=LAST)
        skips = []
        for encoder, bands in zip(self.encoder, self.levels, strict=True):
            x, skip = encoder(x, bands)
            skips.append(skip)
        y = x.permute(0, 2, 3, 1)
        for layer in self.separation_net:
            y = layer(y)
        x = y.permute(0, 3, 1, 2)
        for fusion, expansion in zip(self.fusions, self.expansions, strict=True):
            x = expansion(fusion(x, skips.pop()))
        return x if self.masks is None else self.masks(x)


class FastResiduals(nn.Module):
    """Residual branches of convolutions over time.

    Args:
        layers: of the plain module.

    Shape:
        ``(n, c, 1, t)`` to the same; the input is overwritten.
    """

    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.norms = nn.ModuleList(
            nn.ModuleList(map(_norm, (layer[0], layer[4]))) for layer in layers
        )
        self.convs = nn.ModuleList(
            nn.ModuleList(Convolution(layer[index], torch.float32) for index in (1, 3, 6))
            for layer in layers
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        steps: Iterator[Any] = zip(self.norms, self.convs, strict=True)
        for (outer, inner), (narrow, depthwise, widen) in steps:
            y = depthwise(gated(narrow(outer(x))))
            x += widen(F.silu(inner(y), inplace=True))
        return x


class FastEncoder(nn.Module):
    """A step down.

    Args:
        original: the plain layer.

    Shape:
        as of the plain layer; channels are last in memory.
    """

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            Convolution(conv, torch.float32) for conv in original.SDlayer.convs
        )
        self.residuals = nn.ModuleList(
            FastResiduals(module.layers) for module in original.conv_modules
        )
        self.globalconv = Convolution(original.globalconv, torch.float32)

    def forward(self, x: Tensor, bands: Sequence[Band]) -> tuple[Tensor, Tensor]:
        """See the class."""
        parts = torch.split(x, [band.bins for band in bands], dim=2)
        done = []
        for part, band, conv, residuals in zip(
            parts, bands, self.convs, self.residuals, strict=True
        ):
            padded = F.pad(part, (0, 0, band.before, band.after))
            rows = as_rows(conv(padded.contiguous(memory_format=LAST)))
            done.append(
                F.gelu(residuals(rows))
                .permute(0, 2, 3, 1)
                .reshape(len(x), band.rows, x.shape[3], -1)
            )
        skip = torch.cat(done, dim=1).permute(0, 3, 1, 2)
        return self.globalconv(skip), skip


def as_rows(x: Tensor) -> Tensor:
    """View ``(b, c, f, t)``, channels last, as ``(b f, c, 1, t)``."""
    return x.permute(0, 2, 3, 1).flatten(0, 1)[:, None].permute(0, 3, 1, 2)


class FastDualPath(nn.Module):
    """Two residual LSTMs and the transform over frames that follows.

    Args:
        original: the plain layer.
        dtype: of the products.
        spectral: whether the layer works on the spectrum of the frames.

    Shape:
        ``(b, f, t, c)`` to the same with half or twice the channels.
    """

    def __init__(self, original: Any, dtype: torch.dtype, *, spectral: bool) -> None:
        super().__init__()
        self.spectral = spectral
        order = interleaved(original.norm_layers[0].num_channels) if spectral else slice(None)
        self.norms = nn.ModuleList(_norm(norm, order) for norm in original.norm_layers)
        self.lstms = nn.ModuleList(_lstm(lstm, order).to(dtype) for lstm in original.lstm_layers)
        self.linears = nn.ModuleList(
            Linear(_linear(linear, order), dtype) for linear in original.linear_layers
        )
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        self._path(0, x, (1, 0, 2, 3))
        self._path(1, x, (2, 0, 1, 3))
        if self.spectral:
            pairs = torch.view_as_complex(x.reshape(*x.shape[:3], -1, 2))
            real: Tensor = torch.fft.irfft(pairs, dim=2, norm="ortho")
            return real
        return torch.view_as_real(torch.fft.rfft(x, dim=2, norm="ortho")).flatten(-2)

    def _path(self, index: int, x: Tensor, order: tuple[int, int, int, int]) -> None:
        """Add the output of one LSTM in place.

        Args:
            index: of the LSTM.
            x: ``(b, f, t, c)``.
            order: of the axes: steps, examples, independent sequences, channels.
        """
        normalised = self.norms[index](x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        lstm: Any = self.lstms[index]
        linear = self.linears[index]
        sequences = sequences_per_block(x, steps=x.shape[order[0]], outputs=2 * lstm.hidden_size)
        blocks = (part.permute(order).split(sequences, dim=2) for part in (normalised, x))
        for block, sums in zip(*blocks, strict=True):
            run, _ = lstm(block.to(self.dtype).flatten(1, 2).contiguous())
            sums += linear(run).reshape(sums.shape)


def sequences_per_block(x: Tensor, *, steps: int, outputs: int) -> int:
    """Return how many sequences an LSTM reads at once.

    Blocks of an LSTM's outputs should be small enough that the allocator recycles their memory.

    Args:
        x: all inputs, ``(b, f, t, c)``.
        steps: length of a sequence.
        outputs: of the LSTM per step.

    >>> x = torch.empty(1, 56, 476, 128, device="meta")
    >>> [sequences_per_block(x, steps=steps, outputs=256) for steps in (56, 476)]
    [238, 28]
    """
    sequences = x.shape[1] * x.shape[2] // steps
    blocks = -(-len(x) * steps * sequences * outputs // BLOCK)
    return max(-(-sequences // blocks), 1)


def interleaved(channels: int) -> Tensor:
    """Return the order in which real and imaginary parts become neighbours.

    >>> interleaved(6)
    tensor([0, 3, 1, 4, 2, 5])
    """
    return torch.arange(channels, device="cpu").reshape(2, -1).T.flatten()


def _norm(norm: Any, order: Any = slice(None)) -> nn.Module:
    """Copy a normalisation, with its channels in another order."""
    made = nn.GroupNorm(1, norm.num_channels, norm.eps, device="meta")
    return _assigned(made, {"weight": norm.weight[order], "bias": norm.bias[order]})


def _lstm(lstm: Any, order: Any) -> nn.Module:
    """Copy an LSTM with its inputs in another order and the steps first."""
    made = nn.LSTM(lstm.input_size, lstm.hidden_size, bidirectional=True, device="meta")
    return _assigned(
        made,
        {
            key: value[:, order] if key.startswith("weight_ih") else value
            for key, value in lstm.state_dict().items()
        },
    )


def _linear(linear: Any, order: Any) -> Any:
    """Copy a linear layer with its outputs in another order."""
    made = nn.Linear(linear.in_features, linear.out_features, device="meta")
    return _assigned(made, {"weight": linear.weight[order], "bias": linear.bias[order]})


def _assigned(made: nn.Module, weights: dict[str, Any]) -> nn.Module:
    """Give weights to a layer on the meta device, for which torch draws no random ones."""
    made.load_state_dict({key: value.detach() for key, value in weights.items()}, assign=True)
    return made


class FastFusion(nn.Module):
    """Adds the skip connection, then a gated convolution.

    Args:
        original: the plain layer.
        dtype: of the products.

    Shape:
        as of the plain layer; channels are last in memory. The input is overwritten.
    """

    def __init__(self, original: Any, dtype: torch.dtype) -> None:
        super().__init__()
        conv = original.conv
        made = nn.Conv2d(conv.in_channels // 2, conv.out_channels, 3, padding=1, device="meta")
        first, second = conv.weight.detach().chunk(2, dim=1)
        weights = {"weight": first + second, "bias": conv.bias}
        self.conv = Convolution(_assigned(made, weights), dtype)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """See the class."""
        x += skip
        return gated(self.conv(x))


class FastExpansion(nn.Module):
    """One transposed convolution over the rows of each band.

    Args:
        original: the plain layer.
        bands: at this level.

    Shape:
        as of the plain layer; channels are last in memory. The output is float32: in bfloat16, the
        CPU's transposed convolutions take more than twice the time.
    """

    def __init__(self, original: Any, bands: Sequence[Band]) -> None:
        super().__init__()
        self._bands = bands
        self.convs = nn.ModuleList()
        for conv, band in zip(original.convtrs, bands, strict=True):
            full = (band.rows - 1) * conv.stride[0] + conv.kernel_size[0]
            self.convs.append(Convolution(conv, torch.float32, crop=(full - band.bins) // 2))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        parts = torch.split(x, [band.rows for band in self._bands], dim=2)
        done = [
            conv(part)[:, :, : band.bins].permute(0, 2, 3, 1)
            for conv, part, band in zip(self.convs, parts, self._bands, strict=True)
        ]
        return torch.cat(done, dim=1).permute(0, 3, 1, 2)


class FastMasks(nn.Module):
    """The layers of the masks.

    Args:
        layers: of the plain network.
        dtype: of the products.
    """

    def __init__(self, layers: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.hidden, self.output = Convolution(layers[0], dtype), Convolution(layers[2], dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, 4 s, f, t)`` to the same shape."""
        return torch.tanh(self.output(F.gelu(self.hidden(x))))


def rewrite(network: SCNet, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Copy a network for inference.

    Args:
        network: with its weights; not changed.
        dtype: of the products: float32, the same output to rounding, or bfloat16.
    """
    return FastSCNet(network, dtype).eval().requires_grad_(requires_grad=False)
