"""Band-split transformers with rotary positions: what BS- and Mel-Band RoFormer share.

A spectrogram is cut into bands of bins, and each band of a frame becomes one vector. Transformers
attend along time, within each band, and along the bands, within each frame, in turns. From the
final vectors, a small network per stem and band estimates a complex mask.

Letters: b batch, c audio channels, t frames, k bands, d width of a vector, n length of a sequence.
Layers have the key names of the published files.

Weights and products may be of lower precision, by autocast or by a cast of the network. The STFT,
the residual stream, norms, positions and masks are float32 in any case.

Sources: Lu, Wang, Kong, Hung, "Music source separation with band-split RoPE transformer", ICASSP
2024; Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks.stft import istft, stft

THETA = 10_000.0
"""Base of the wavelengths of positions."""

TINY = 1e-12
"""Lower bound of the length of a vector that is normalised."""

TOKENS = {"cpu": 2048}
"""Vectors that a transformer processes at once, at least one sequence, by type of device.

The sequences of an axis are independent, so slices of them give the same output with far smaller
intermediate tensors. On a CPU, these then fit in its caches."""

MOST_TOKENS = 1 << 15
"""The same, for all other devices, which are faster with large tensors."""

LINEAR_SCALE = 8.0
"""Factor of the logits of attention over features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Sizes of the transformers and mask networks; names as in the authors' configurations.

    Attributes:
        dim: d.
        depth: number of blocks.
        time_transformer_depth: layers of a block along time.
        freq_transformer_depth: layers of a block along the bands.
        linear_transformer_depth: layers over features, at the start of a block; 0 for none.
        dim_head: width of an attention head.
        heads: number of attention heads.
        num_stems: number of masks.
        mlp_expansion_factor: ratio of the width of the mask networks' hidden layers to d.
        hidden_layers: number of hidden layers of the mask networks.
        use_pope: positions by PoPE, else by rotary embedding.
        skip_connection: whether each block also receives the outputs of all blocks before it.
    """

    dim: int
    depth: int
    time_transformer_depth: int = 1
    freq_transformer_depth: int = 1
    linear_transformer_depth: int = 0
    dim_head: int = 64
    heads: int = 8
    num_stems: int = 1
    mlp_expansion_factor: int = 4
    hidden_layers: int = 1
    use_pope: bool = False
    skip_connection: bool = False


class RMSNorm(nn.Module):
    """Scales vectors to a root mean square of 1, then each element by a weight.

    Args:
        width: of a vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., width)`` to the same shape; computed in float32, of the weight's type."""
        wide = x.float()
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).clamp(min=TINY)
        scaled: Tensor = wide * (self.gamma.numel() ** 0.5 / length) * self.gamma
        return scaled.to(self.gamma.dtype)


class PoPE(nn.Module):
    """Polar positions: magnitudes are contents, angles are positions; keys have learned offsets.

    Source: Gopalakrishnan et al., "Decoupling the what and where with polar coordinate positional
    embeddings", 2025.

    Args:
        heads: number of attention heads.
        dim_head: width of a head.
    """

    def __init__(self, heads: int, dim_head: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(heads, dim_head))

    def forward(self, queries: Tensor, keys: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries and keys with positions.

        Args:
            queries: ``(b, n, heads, dim_head)``.
            keys: likewise.
            turns: complex ``(n, 1, dim_head)``, from :func:`turns`.

        Returns:
            Both as ``(b, n, heads, 2 dim_head)``, float32.
        """
        offset = self.bias.float().clamp(-2 * torch.pi, 0)
        shifted = turns * torch.polar(torch.ones_like(offset), offset)
        return _polar(queries, turns), _polar(keys, shifted)


class Attention(nn.Module):
    """Self-attention whose heads have gates.

    Args:
        sizes: see :class:`Sizes`.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        inner = sizes.heads * sizes.dim_head
        self.heads, self.scale = sizes.heads, sizes.dim_head**-0.5
        self.norm = RMSNorm(sizes.dim)
        self.to_qkv = nn.Linear(sizes.dim, 3 * inner, bias=False)
        self.to_gates = nn.Linear(sizes.dim, sizes.heads)
        self.to_out = nn.Sequential(nn.Linear(inner, sizes.dim, bias=False))
        self.pope_embed = PoPE(sizes.heads, sizes.dim_head) if sizes.use_pope else None

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        """Map sequences ``(b, n, d)`` to the same shape; ``turns`` as from :func:`turns`."""
        x = self.norm(x)
        qkv = _split(self.to_qkv(x), self.heads)
        queries, keys = self._placed(qkv[:, :, 0], qkv[:, :, 1], turns)
        values = qkv[:, :, 2]
        width, excess = values.shape[-1], queries.shape[-1] - values.shape[-1]
        # Fast kernels need values as wide as queries.
        padded = F.pad(values, (0, excess)) if excess else values
        out = F.scaled_dot_product_attention(
            queries.to(values.dtype).transpose(1, 2),
            keys.to(values.dtype).transpose(1, 2),
            padded.transpose(1, 2),
            scale=self.scale,
        )
        gated = out.transpose(1, 2)[..., :width] * self.to_gates(x).sigmoid()[..., None]
        return self.to_out(gated.flatten(-2))  # type: ignore[no-any-return]

    def _placed(self, queries: Tensor, keys: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
        """Give queries and keys ``(b, n, heads, dim_head)`` their positions."""
        if self.pope_embed is None:
            return _rotated(queries, turns), _rotated(keys, turns)
        placed: tuple[Tensor, Tensor] = self.pope_embed(queries, keys, turns)
        return placed


class LinearAttention(nn.Module):
    """Attention between the features of a head; its cost is linear in the length of a sequence.

    Source: El-Nouby et al., "XCiT: cross-covariance image transformers", 2021.

    Args:
        sizes: see :class:`Sizes`.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        inner = sizes.heads * sizes.dim_head
        self.heads = sizes.heads
        self.norm = RMSNorm(sizes.dim)
        self.to_qkv = nn.Sequential(nn.Linear(sizes.dim, 3 * inner, bias=False))
        self.temperature = nn.Parameter(torch.ones(sizes.heads, 1, 1))
        self.to_out = nn.Sequential(nn.Identity(), nn.Linear(inner, sizes.dim, bias=False))

    def forward(self, x: Tensor, turns: Tensor | None = None) -> Tensor:
        """Map sequences ``(b, n, d)`` to the same shape; there are no positions."""
        del turns
        qkv = _split(self.to_qkv(self.norm(x)), self.heads)
        queries, keys, values = qkv.permute(2, 0, 3, 4, 1)  # each (b, heads, dim_head, n)
        queries = F.normalize(queries.float(), dim=-1) * self.temperature.float().exp()
        keys = F.normalize(keys.float(), dim=-1).to(values.dtype)
        logits = queries.to(values.dtype) @ keys.transpose(-1, -2)
        weights = (logits.float() * LINEAR_SCALE).softmax(dim=-1).to(values.dtype)
        out = (weights @ values).permute(0, 3, 1, 2).flatten(-2)
        return self.to_out(out)  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """One hidden layer of four times the width.

    Args:
        dim: d.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            RMSNorm(dim),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Identity(),  # dropout in training; it keeps the names of the keys
            nn.Linear(4 * dim, dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., d)`` to the same shape."""
        return self.net(x)  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """Layers of attention and feed-forward networks, each with a residual.

    Args:
        sizes: see :class:`Sizes`.
        depth: number of layers.
        normed: whether a norm follows the last layer.
        linear: attention between features, see :class:`LinearAttention`.
    """

    def __init__(self, sizes: Sizes, depth: int, *, normed: bool, linear: bool = False) -> None:
        super().__init__()
        kind = LinearAttention if linear else Attention
        self.layers = nn.ModuleList(
            nn.ModuleList([kind(sizes), FeedForward(sizes.dim)]) for _ in range(depth)
        )
        self.norm = RMSNorm(sizes.dim) if normed else nn.Identity()

    def forward(self, x: Tensor, turns: Tensor | None = None) -> Tensor:
        """Map sequences ``(b, n, d)`` to the same shape; ``turns`` as from :func:`turns`."""
        for layer in self.layers:
            attention, feed_forward = layer.children()
            x = x + attention(x, turns)
            x = x + feed_forward(x)
        return self.norm(x).to(x.dtype)  # type: ignore[no-any-return]


class BandSplit(nn.Module):
    """Maps each band of a frame to a vector.

    Args:
        dim: d.
        widths: numbers per band and frame: real and imaginary parts of all channels and bins.
    """

    def __init__(self, dim: int, widths: Iterable[int]) -> None:
        super().__init__()
        self.to_features = nn.ModuleList(
            nn.Sequential(RMSNorm(width), nn.Linear(width, dim)) for width in widths
        )

    def forward(self, bands: Iterable[Tensor]) -> Tensor:
        """Map bands ``(b, t, width)`` to ``(b, t, k, d)``, float32."""
        split = zip(self.to_features, bands, strict=True)
        return torch.stack([layer(band).float() for layer, band in split], dim=-2)


class MaskEstimator(nn.Module):
    """Estimates the mask of one stem, by a small network per band.

    Args:
        sizes: see :class:`Sizes`.
        widths: as of :class:`BandSplit`.
    """

    def __init__(self, sizes: Sizes, widths: Iterable[int]) -> None:
        super().__init__()
        hidden = [sizes.dim * sizes.mlp_expansion_factor] * sizes.hidden_layers
        self.to_freqs = nn.ModuleList(
            nn.Sequential(_mlp([sizes.dim, *hidden, 2 * width]), nn.GLU(dim=-1)) for width in widths
        )

    def forward(self, x: Tensor) -> Iterable[Tensor]:
        """Yield the mask of each band, ``(b, t, width)``, given ``(b, t, k, d)``."""
        x = x.to(next(self.parameters()).dtype)
        for layer, band in zip(self.to_freqs, x.unbind(dim=-2), strict=True):
            yield layer(band)


class RoFormer(nn.Module):
    """Separates waveforms by complex masks on the spectrogram.

    Args:
        sizes: see :class:`Sizes`.
        bands: bins of each band, which may overlap; together all bins.
        stereo: whether both channels are processed together; otherwise each by itself.
        stft_n_fft: length of the STFT's window in samples.
        stft_hop_length: hop of the STFT in samples.
        zero_dc: whether the lowest bin of the stems is set to zero.
        normed_blocks: whether a norm follows each transformer; otherwise one follows them all.

    Shape:
        ``(batch, channels, samples)``, with any number of channels if not ``stereo``, to
        ``(batch, stems, channels, samples)``, at least one sample.

    Raises:
        ValueError: the bands leave bins uncovered or have others.
    """

    def __init__(
        self,
        sizes: Sizes,
        bands: Sequence[range],
        *,
        stereo: bool,
        stft_n_fft: int,
        stft_hop_length: int,
        zero_dc: bool,
        normed_blocks: bool,
    ) -> None:
        super().__init__()
        bins = stft_n_fft // 2 + 1
        covering = _covering(bands, bins)
        if not all(covering) or not all(band and band.stop <= bins for band in bands):
            raise ValueError(f"expected bands of at least one bin that cover {bins}, got {bands}")
        self.sizes, self.bands, self.covering = sizes, tuple(bands), covering
        self.channels = 2 if stereo else 1
        self.frame, self.hop, self.zero_dc = stft_n_fft, stft_hop_length, zero_dc
        widths = [2 * self.channels * len(band) for band in bands]
        self.layers = nn.ModuleList(_block(sizes, normed_blocks) for _ in range(sizes.depth))
        self.final_norm = None if normed_blocks else RMSNorm(sizes.dim)
        self.band_split = BandSplit(sizes.dim, widths)
        self.mask_estimators = nn.ModuleList(
            MaskEstimator(sizes, widths) for _ in range(sizes.num_stems)
        )

    def forward(self, mixtures: Tensor) -> Tensor:
        """See the class."""
        batch, channels, samples = mixtures.shape
        if (missing := self.nearest_length(samples) - samples) > 0:  # such as the end of a song
            return self.forward(F.pad(mixtures, (0, missing)))[..., :samples]
        spectrum = stft(
            mixtures.reshape(-1, self.channels, samples), self.frame, self.hop, pad_mode="reflect"
        )
        # Nested, so that the first vectors are freed as soon as a block has read them.
        x = self._transformed(self.band_split(self._bands_of(spectrum)))
        stems = torch.stack(
            [self._stem(spectrum, masks(x), samples) for masks in self.mask_estimators], dim=1
        )
        parted = stems.reshape(batch, -1, *stems.shape[1:])  # mono: channels are batch items
        return parted.transpose(1, 2).reshape(batch, -1, channels, samples)

    def nearest_length(self, samples: int) -> int:
        """The nearest length of chunks: the STFT mirrors half a window at their ends."""
        return max(samples, self.frame // 2 + 1)

    def _bands_of(self, spectrum: Tensor) -> Iterable[Tensor]:
        """Yield the bands ``(b, t, width)`` of a complex spectrogram ``(b, c, bins, t)``.

        Order within a band: bins, channels, then real and imaginary part.
        """
        numbers = torch.view_as_real(spectrum).permute(0, 3, 2, 1, 4)
        for band in self.bands:
            yield numbers[:, :, band.start : band.stop].flatten(2)

    def _transformed(self, x: Tensor) -> Tensor:
        """Run all blocks on ``(b, t, k, d)``."""
        along_time, along_bands = (
            turns(length, self.sizes, x.device) for length in (x.shape[1], x.shape[2])
        )
        outputs: list[Tensor] = []
        for block in self.layers:
            *linear, time, band = block.children()
            for transformer in linear:
                x = transformer(x.flatten(1, 2)).reshape(x.shape)
            x = sum(outputs, x)
            x = _in_slices(time, x.transpose(1, 2), along_time).transpose(1, 2)
            x = _in_slices(band, x, along_bands)
            if self.sizes.skip_connection:
                outputs.append(x)
        norm = self.final_norm
        return x if norm is None else _in_slices(lambda part, _: norm(part), x, along_bands)

    def _stem(self, spectrum: Tensor, masks: Iterable[Tensor], samples: int) -> Tensor:
        """Apply the masks of all bands to ``(b, c, bins, t)``, and return ``(b, c, samples)``."""
        batch, channels, bins, frames = spectrum.shape
        mask = torch.zeros(batch, frames, bins, channels, 2, device=spectrum.device)
        for band, part in zip(self.bands, masks, strict=True):
            mask[:, :, band.start : band.stop] += part.float().reshape(
                batch, frames, -1, channels, 2
            )
        if max(self.covering) > 1:
            mask = mask / torch.tensor(self.covering, device=mask.device)[:, None, None]
        masked = spectrum * torch.view_as_complex(mask).permute(0, 3, 2, 1)
        if self.zero_dc:
            masked[:, :, 0] = 0
        return istft(masked, self.frame, self.hop, samples)


def turns(length: int, sizes: Sizes, device: torch.device) -> Tensor:
    """Return the positions of a sequence as complex numbers of magnitude 1.

    Args:
        length: n.
        sizes: widths, and kind of positions.
        device: of the result.

    Returns:
        ``(n, 1, dim_head // 2)``, for PoPE ``(n, 1, dim_head)``.
    """
    angles = torch.outer(
        torch.arange(length, device="cpu"), frequencies(sizes.dim_head, pope=sizes.use_pope)
    )
    return torch.polar(torch.ones_like(angles), angles)[:, None].to(device)


def frequencies(dim_head: int, *, pope: bool = False) -> Tensor:
    """Return the angle per position of each pair of features, or for PoPE of each feature.

    >>> frequencies(4)
    tensor([1.0000, 0.0100])
    >>> frequencies(2, pope=True)
    tensor([1.0000, 0.0100])
    """
    # In float32 on the CPU, like the constants in the files.
    indices = torch.arange(0, dim_head, 1 if pope else 2, device="cpu").float()
    return THETA ** (-indices / dim_head) if pope else 1 / THETA ** (indices / dim_head)


def _split(qkv: Tensor, heads: int) -> Tensor:
    """Split ``(b, n, 3 heads dim_head)`` into queries, keys and values of heads."""
    return qkv.reshape(*qkv.shape[:2], 3, heads, -1)


def _rotated(x: Tensor, turns: Tensor) -> Tensor:
    """Rotate neighbouring pairs of features of ``(b, n, heads, dim_head)``; float32."""
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns).flatten(-2)


def _polar(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the magnitudes of ``(b, n, heads, dim_head)`` by angles; twice as wide, float32."""
    return torch.view_as_real(F.softplus(x.float()) * turns).flatten(-2)


def _mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers from each width to the next one, with tanh between them."""
    layers: list[nn.Module] = []
    for width, following in itertools.pairwise(widths):
        layers += [nn.Linear(width, following), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def _covering(bands: Iterable[range], bins: int) -> list[int]:
    """Return the number of bands that each bin is in."""
    counts = [0] * bins
    for band in bands:
        for index in band[:bins]:
            counts[index] += 1
    return counts


def _block(sizes: Sizes, normed: bool) -> nn.ModuleList:
    """Transformers over features, if any, along time and along the bands."""
    linear = sizes.linear_transformer_depth
    first = [Transformer(sizes, linear, normed=normed, linear=True)] if linear else []
    time = Transformer(sizes, sizes.time_transformer_depth, normed=normed)
    band = Transformer(sizes, sizes.freq_transformer_depth, normed=normed)
    return nn.ModuleList([*first, time, band])


def _in_slices(transformer: Callable[[Tensor, Tensor], Tensor], x: Tensor, turns: Tensor) -> Tensor:
    """Run a transformer on ``(b, sequences, n, d)``, as many sequences at once as fit."""
    batch, sequences, length, _ = x.shape
    tokens = TOKENS.get(x.device.type, MOST_TOKENS)
    count = max(1, tokens // max(1, batch * length))
    out = torch.empty_like(x)
    for start in range(0, sequences, count):
        part = x[:, start : start + count]
        answer = transformer(part.flatten(0, 1), turns)
        out[:, start : start + count] = answer.reshape(part.shape)
    return out
