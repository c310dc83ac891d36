"""SCNet, a network on the complex spectrogram whose bands are compressed by different factors.

Letters: b batch, c channels, f bins, t frames, s stems. The encoder splits the bins into three
bands and shortens each by its own stride; most bins remain in the lowest band. The separation
network alternates LSTMs over bins and over frames, and every other layer works on the spectrum of
the frames. The decoder mirrors the encoder. Layers have the key names of the authors' code.

In the masked variant (MSST's), the output of the decoder is turned into masks of the mixture, and
each bin has a learned offset.

Source: Tong, Zhu, Chen, Kang, Li, Wu, Meng, "SCNet: sparse compression network for music source
separation", ICASSP 2024.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BANDS = 3
"""Low, middle and high."""

SPECTRUM = 4
"""Real and imaginary part of the left channel, then of the right one."""

MASK_CHANNELS = 64
"""Hidden channels of the masks' layers."""


@dataclass(frozen=True, slots=True)
class Band:
    """A band at one level of the network.

    Attributes:
        bins: before compression.
        rows: after compression.
        before: rows of zeros in front.
        after: rows of zeros behind.
    """

    bins: int
    rows: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Splitting:
    """How bins are split and compressed, the same at every level.

    Attributes:
        shares: of the low and the middle band; the high band has the rest.
        strides: bins per row, for each band.
        kernels: bins that a row depends on, for each band.
    """

    shares: tuple[float, float]
    strides: tuple[int, ...]
    kernels: tuple[int, ...]

    def bands(self, bins: int) -> list[Band]:
        """Split ``bins``.

        Raises:
            ValueError: a band has no bins, or cannot be restored from its rows.
        """
        low, middle = self.shares
        edges = (0, math.ceil(bins * low), math.ceil(bins * (low + middle)), bins)
        shapes = zip(pairwise(edges), self.strides, self.kernels, strict=True)
        return [_band(end - start, stride, kernel) for (start, end), stride, kernel in shapes]

    def levels(self, bins: int, depth: int) -> list[list[Band]]:
        """Split ``bins``, then the rows, and so on, ``depth`` times.

        Raises:
            ValueError: see :meth:`bands`.
        """
        levels: list[list[Band]] = []
        for _ in range(depth):
            levels.append(self.bands(bins))
            bins = sum(band.rows for band in levels[-1])
        return levels


def _band(bins: int, stride: int, kernel: int) -> Band:
    """Return the shape of a band."""
    padding = kernel - 1 if stride == 1 else -bins % stride
    rows = (bins + padding - kernel) // stride + 1
    if bins < 1 or rows < 1 or (rows - 1) * stride + kernel < bins:
        raise ValueError(
            f"a band of {bins} bins cannot be compressed by {stride} with a kernel of {kernel}"
        )
    return Band(bins, rows, padding // 2, padding - padding // 2)


class ResidualConvolutions(nn.Module):
    """Residual branches of convolutions over time.

    Args:
        channels: of input and output.
        depth: number of branches.
        hidden: channels inside.
        kernel: of the convolutions, odd.

    Shape:
        ``(n, c, t)`` to the same; each of the n is normalised by itself.
    """

    def __init__(self, channels: int, depth: int, hidden: int, kernel: int) -> None:
        super().__init__()
        pad = kernel // 2
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, channels),
                nn.Conv1d(channels, 2 * hidden, kernel, padding=pad),
                nn.GLU(1),
                nn.Conv1d(hidden, hidden, kernel, padding=pad, groups=hidden),
                nn.GroupNorm(1, hidden),
                nn.SiLU(),
                nn.Conv1d(hidden, channels, 1),
            )
            for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        for layer in self.layers:
            x = x + layer(x)
        return x


class Compression(nn.Module):
    """One strided convolution over the bins of each band.

    Args:
        inputs: channels of the input.
        outputs: channels of the outputs.
        splitting: of the bins.
    """

    def __init__(self, inputs: int, outputs: int, splitting: Splitting) -> None:
        super().__init__()
        shapes = zip(splitting.kernels, splitting.strides, strict=True)
        self.convs = nn.ModuleList(
            nn.Conv2d(inputs, outputs, (kernel, 1), (stride, 1)) for kernel, stride in shapes
        )

    def forward(self, x: Tensor, bands: Sequence[Band]) -> list[Tensor]:
        """Map ``(b, c, f, t)`` to the rows of each band, ``(b, outputs, rows, t)``."""
        parts = torch.split(x, [band.bins for band in bands], dim=2)
        padded = (
            F.pad(part, (0, 0, band.before, band.after))
            for part, band in zip(parts, bands, strict=True)
        )
        return [conv(part) for conv, part in zip(self.convs, padded, strict=True)]


class Encoder(nn.Module):
    """A step down: compression, convolutions over time in each band, a convolution over all.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        splitting: of the bins.
        depths: residual branches of each band.
        hidden: channels of these branches.
        kernel: of these branches.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        splitting: Splitting,
        depths: Sequence[int],
        hidden: int,
        kernel: int,
    ) -> None:
        super().__init__()
        self.SDlayer = Compression(inputs, outputs, splitting)
        self.conv_modules = nn.ModuleList(
            ResidualConvolutions(outputs, depth, hidden, kernel) for depth in depths
        )
        self.globalconv = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor, bands: Sequence[Band]) -> tuple[Tensor, Tensor]:
        """Map ``(b, c, f, t)`` to the output and the skip connection, ``(b, outputs, rows, t)``."""
        parts = zip(self.conv_modules, self.SDlayer(x, bands), strict=True)
        skip = torch.cat([F.gelu(_over_time(module, part)) for module, part in parts], dim=2)
        return self.globalconv(skip), skip


def _over_time(module: nn.Module, x: Tensor) -> Tensor:
    """Apply a module for ``(n, c, t)`` to every row of ``(b, c, f, t)``."""
    rows = module(x.transpose(1, 2).flatten(0, 1))
    return rows.unflatten(0, (len(x), -1)).transpose(1, 2)  # type: ignore[no-any-return]


class DualPath(nn.Module):
    """Two residual LSTMs, over bins and over frames.

    Args:
        channels: of input and output.
        hidden: of the LSTMs in each direction.

    Shape:
        ``(b, c, f, t)`` to the same.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.lstm_layers = nn.ModuleList(
            nn.LSTM(channels, hidden, bidirectional=True, batch_first=True) for _ in range(2)
        )
        self.linear_layers = nn.ModuleList(nn.Linear(2 * hidden, channels) for _ in range(2))
        self.norm_layers = nn.ModuleList(nn.GroupNorm(1, channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        # Sequences over bins are (b, t, f, c), sequences over frames (b, f, t, c).
        x = x + self._path(0, x.transpose(2, 3)).transpose(2, 3)
        return x + self._path(1, x)

    def _path(self, index: int, x: Tensor) -> Tensor:
        """Run one LSTM along the last axis of ``(b, c, n, steps)``; the same shape."""
        rows = self.norm_layers[index](x).permute(0, 2, 3, 1)
        run, _ = self.lstm_layers[index](rows.flatten(0, 1))
        output: Tensor = self.linear_layers[index](run)
        return output.reshape(rows.shape).permute(0, 3, 1, 2)


class SeparationNet(nn.Module):
    """Dual-path layers, by turns on frames and on the spectrum of the frames.

    Args:
        channels: of input and output; doubled on the spectrum.
        layers: number of layers, even.
        expand: ratio of the LSTMs' width to the channels.

    Shape:
        ``(b, c, f, t)`` to the same; t is even.
    """

    def __init__(self, channels: int, layers: int, expand: int) -> None:
        super().__init__()
        widths = [channels * (1 + index % 2) for index in range(layers)]
        self.dp_modules = nn.ModuleList(DualPath(width, width * expand) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        for index, layer in enumerate(self.dp_modules):
            convert = from_frame_spectrum if index % 2 else frame_spectrum
            x = convert(layer(x))
        return x


def frame_spectrum(x: Tensor) -> Tensor:
    """Transform over frames: ``(b, c, f, t)`` to real and imaginary parts ``(b, 2 c, f, t/2+1)``.

    >>> x = torch.randn(1, 2, 3, 8, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(from_frame_spectrum(frame_spectrum(x)), x, atol=1e-6)
    True
    """
    spectrum: Tensor = torch.fft.rfft(x.float(), norm="ortho")
    return torch.cat([spectrum.real, spectrum.imag], dim=1).to(x.dtype)


def from_frame_spectrum(x: Tensor) -> Tensor:
    """Invert :func:`frame_spectrum` for an even number of frames."""
    real, imaginary = x.float().chunk(2, dim=1)
    frames: Tensor = torch.fft.irfft(torch.complex(real, imaginary), norm="ortho")
    return frames.to(x.dtype)


class Fusion(nn.Module):
    """Adds the skip connection, then a gated convolution of the sum and its copy.

    Args:
        channels: of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map ``(b, c, f, t)`` to the same shape."""
        return F.glu(self.conv((x + skip).repeat(1, 2, 1, 1)), dim=1)


class Expansion(nn.Module):
    """One transposed convolution over the rows of each band.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        splitting: of the bins.
    """

    def __init__(self, inputs: int, outputs: int, splitting: Splitting) -> None:
        super().__init__()
        shapes = zip(splitting.kernels, splitting.strides, strict=True)
        self.convtrs = nn.ModuleList(
            nn.ConvTranspose2d(inputs, outputs, (kernel, 1), (stride, 1))
            for kernel, stride in shapes
        )

    def forward(self, x: Tensor, bands: Sequence[Band]) -> Tensor:
        """Map ``(b, c, rows, t)`` to ``(b, outputs, f, t)``."""
        parts = torch.split(x, [band.rows for band in bands], dim=2)
        return torch.cat(
            [
                _cropped(layer(part), band.bins)
                for layer, part, band in zip(self.convtrs, parts, bands, strict=True)
            ],
            dim=2,
        )


def _cropped(x: Tensor, bins: int) -> Tensor:
    """Return the middle ``bins`` of ``(b, c, f, t)``."""
    return x.narrow(2, (x.shape[2] - bins) // 2, bins)


class SCNet(nn.Module):
    """Separates stereo mixtures into stems.

    Args:
        sources: number of stems.
        dims: channels at each level; the first is 4.
        nfft: length of the STFT's window in samples.
        hop_size: hop of the STFT in samples.
        normalized: whether the STFT is divided by the square root of ``nfft``.
        band_shares: the shares of the low and the middle band (``band_SR`` in configs).
        band_stride: compression of each band.
        band_kernel: kernels of the compression of each band.
        conv_depths: residual branches of each band.
        compress: ratio of the channels to those of the residual branches.
        conv_kernel: kernel of the residual branches.
        num_dplayer: dual-path layers, even.
        expand: ratio of the LSTMs' width to the channels.
        masked: the masked variant, whose window is Hann's; otherwise it is rectangular.

    Shape:
        float32 ``(b, 2, samples)`` to ``(b, s, 2, samples)``, at least one sample.

    Raises:
        ValueError: the bands do not fit the bins, or sizes contradict each other.
    """

    def __init__(
        self,
        *,
        sources: int = 4,
        dims: Sequence[int] = (4, 32, 64, 128),
        nfft: int = 4096,
        hop_size: int = 1024,
        normalized: bool = True,
        band_shares: tuple[float, float] = (0.175, 0.392),
        band_stride: Sequence[int] = (1, 4, 16),
        band_kernel: Sequence[int] = (3, 4, 16),
        conv_depths: Sequence[int] = (3, 2, 1),
        compress: int = 4,
        conv_kernel: int = 3,
        num_dplayer: int = 6,
        expand: int = 1,
        masked: bool = False,
    ) -> None:
        super().__init__()
        if dims[0] != SPECTRUM or num_dplayer % 2 or conv_kernel % 2 == 0:
            raise ValueError(
                f"need {SPECTRUM} channels first, an even number of dual-path layers and an odd "
                f"kernel, got {dims[0]}, {num_dplayer} and {conv_kernel}"
            )
        if nfft % hop_size or nfft < 2 * hop_size:
            raise ValueError(f"need a hop that is a part of the window, got {hop_size} of {nfft}")
        self.sources, self.hop_size = sources, hop_size
        self.transform = Transform(nfft, hop_size, normalized=normalized, hann=masked)
        splitting = Splitting(band_shares, tuple(band_stride), tuple(band_kernel))
        self.levels = splitting.levels(nfft // 2 + 1, len(dims) - 1)
        self.encoder = nn.ModuleList(
            Encoder(inputs, outputs, splitting, conv_depths, outputs // compress, conv_kernel)
            for inputs, outputs in pairwise(dims)
        )
        self.separation_net = SeparationNet(dims[-1], num_dplayer, expand)
        narrow = (sources * SPECTRUM, *dims[1:])
        self.decoder = nn.ModuleList(
            nn.Sequential(Fusion(inputs), Expansion(inputs, outputs, splitting))
            for outputs, inputs in reversed(list(pairwise(narrow)))
        )
        self.masked = masked
        if masked:
            self.pos_embed_f = nn.Parameter(torch.zeros(1, SPECTRUM, nfft // 2 + 1, 1))
            self.mask_layer = nn.Sequential(
                nn.Conv2d(narrow[0], MASK_CHANNELS, 3, padding=1),
                nn.GELU(),
                nn.Conv2d(MASK_CHANNELS, narrow[0], 1),
                nn.Tanh(),
            )

    def forward(self, mixtures: Tensor) -> Tensor:
        """See the class."""
        samples = mixtures.shape[-1]
        zeros = padding(samples, self.hop_size, self.transform.frame)
        mixture = self.transform(F.pad(mixtures.float(), (0, zeros)))
        channels = torch.view_as_real(mixture).permute(0, 1, 4, 2, 3).flatten(1, 2)
        dtype = next(self.encoder.parameters()).dtype
        parts = self._stems(channels.to(dtype)).float()
        parts = parts.reshape(len(parts), self.sources, 2, 2, *parts.shape[2:])
        stems = torch.complex(parts[:, :, :, 0], parts[:, :, :, 1])
        if self.masked:
            stems = stems * mixture[:, None]
        return self.transform.inverse(stems)[..., :samples]

    def _stems(self, x: Tensor) -> Tensor:
        """Map the mixture's spectrum ``(b, 4, f, t)`` to the stems' or masks ``(b, 4 s, f, t)``."""
        if self.masked:
            x = x + self.pos_embed_f
        skips = []
        for encoder, bands in zip(self.encoder, self.levels, strict=True):
            x, skip = encoder(x, bands)
            skips.append(skip)
        x = self.separation_net(x)
        steps: Iterator[Any] = iter(self.decoder)
        for (fusion, expansion), bands in zip(steps, reversed(self.levels), strict=True):
            x = expansion(fusion(x, skips.pop()), bands)
        return self.mask_layer(x) if self.masked else x


def padding(samples: int, hop: int, frame: int) -> int:
    """Return how many zeros follow the audio: at least one, for an even number of frames.

    Args:
        samples: length of the audio.
        hop: of the STFT in samples.
        frame: length of the STFT's window in samples.

    >>> [padding(samples, 10, 40) for samples in (25, 30, 35, 40)]
    [5, 20, 15, 10]
    >>> [padding(samples, 10, 40) for samples in (1, 9, 10)]
    [29, 21, 20]
    """
    pad = hop - samples % hop
    pad += 0 if (samples + pad) // hop % 2 else hop
    # The STFT mirrors half a window, and the end of a song may be shorter than that. The authors'
    # network fails then; their driver seldom feeds it so little, because its random shifts lengthen
    # chunks by up to half a second. Pairs of hops keep the number of frames even.
    missing = frame // 2 + 1 - samples - pad
    return pad + max(-(-missing // (2 * hop)), 0) * 2 * hop


@dataclass(frozen=True, slots=True)
class Transform:
    """The STFT, with centred frames and audio mirrored at its ends.

    Attributes:
        frame: length of the window in samples.
        hop: in samples; a half of ``frame`` or a smaller part.
        normalized: whether spectra are divided by the square root of ``frame``.
        hann: Hann's window instead of a rectangular one.
    """

    frame: int
    hop: int
    normalized: bool
    hann: bool

    def __call__(self, audio: Tensor) -> Tensor:
        """Map ``(b, channels, samples)`` to complex ``(b, channels, f, t)``."""
        spectrum = torch.stft(
            audio.flatten(0, 1), **self._options(audio.device), return_complex=True
        )
        return spectrum.reshape(*audio.shape[:-1], *spectrum.shape[1:])

    def inverse(self, spectrum: Tensor) -> Tensor:
        """Map complex ``(b, s, channels, f, t)`` to ``(b, s, channels, hop * (t - 1))``.

        One stem after another, because its frames are many times its samples. The input may have
        any order in memory.
        """
        return torch.stack([torch.stack([*map(self._audio, stems)]) for stems in spectrum])

    def _audio(self, spectrum: Tensor) -> Tensor:
        """Map complex ``(channels, f, t)`` to ``(channels, samples)``."""
        norm = "ortho" if self.normalized else "backward"
        frames = torch.fft.irfft(spectrum.transpose(-1, -2), n=self.frame, norm=norm)
        window = _window(self.frame, self.hann, spectrum.device)
        if self.hann:
            frames *= window
        weight = self._overlapped(window.square().expand(frames.shape[-2:]))
        return self._overlapped(frames) / weight

    def _overlapped(self, frames: Tensor) -> Tensor:
        """Add frames ``(..., t, frame)`` where they overlap, from the middle of the first."""
        count = frames.shape[-2]
        parts = frames.unflatten(-1, (-1, self.hop)).unbind(-2)  # type: ignore[no-untyped-call]
        shape = (*frames.shape[:-2], count + len(parts) - 1, self.hop)
        audio = torch.zeros(shape, device=frames.device)
        for offset, part in enumerate(parts):
            audio[..., offset : offset + count, :] += part
        return audio.flatten(-2).narrow(-1, self.frame // 2, (count - 1) * self.hop)

    def _options(self, device: torch.device) -> dict[str, Any]:
        """Return the options of torch's functions."""
        return {
            "n_fft": self.frame,
            "hop_length": self.hop,
            "window": _window(self.frame, self.hann, device),
            "normalized": self.normalized,
        }


@functools.lru_cache(maxsize=8)
def _window(frame: int, hann: bool, device: torch.device) -> Tensor:
    """Return a window; it is cached, so it must not belong to one caller's inference mode."""
    with torch.inference_mode(mode=False):
        return (torch.hann_window if hann else torch.ones)(frame, device=device)
