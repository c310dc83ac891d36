"""BandIt v2 and BandIt Plus: film sound into speech, music and effects, by a band-split network.

Each channel is separated by itself. The bins of a spectrum are grouped into overlapping bands of
equal width in octaves. Each band becomes a vector per frame. Recurrent layers run over time and
over bands in turn. Each stem has a complex mask per band; where bands overlap, their mean.

Layers have the key names of BandIt v2. Plus has other names, see :func:`renamed`, another order of
the inputs of a band, and silence beyond the ends of the audio where v2 mirrors it.

Letters: b mixtures times channels, k bands, t frames, f bins, e features.

Source: Watcharasupat et al., "A generalized bandsplit neural network for cinematic audio source
separation", IEEE OJSP 2023; Watcharasupat, Wu, Orife, "Remastering Divide and Remaster: a cinematic
audio source separation dataset with multilingual support", 2024.
"""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks.stft import istft, stft

BANDS = 64
PLUS = "bsrnn."
"""Prefix of the keys of Plus."""

Bands = Sequence[tuple[int, int]]
"""First and last bin of each band; the last one is not in the band."""


class BandSplit(nn.Module):
    """Maps the bins of each band to its features.

    Args:
        bands: see :data:`Bands`.
        features: e.
        parts_first: order of a band's inputs: all real parts before all imaginary parts, as in
            Plus; if not, the two parts of each bin together.

    Shape:
        spectrum, real and imaginary, ``(b, t, f, 2)``, to ``(b, k, t, e)``.
    """

    def __init__(self, bands: Bands, features: int, *, parts_first: bool) -> None:
        super().__init__()
        self.bands, self.parts_first = bands, parts_first
        self.norm_fc_modules = nn.ModuleList(
            _Combined(nn.LayerNorm(width), nn.Linear(width, features))
            for width in (2 * (end - start) for start, end in bands)
        )

    def forward(self, spectrum: Tensor) -> Tensor:
        """See the class."""
        x = spectrum.transpose(2, 3) if self.parts_first else spectrum
        axis = 3 if self.parts_first else 2
        features = [
            layers(x.narrow(axis, start, end - start).flatten(2))
            for layers, (start, end) in zip(self.norm_fc_modules, self.bands, strict=True)
        ]
        return torch.stack(features, dim=1)


class _Combined(nn.Module):
    """A sequence of layers named ``combined``.

    Args:
        layers: the layers.

    Shape:
        that of the layers.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.combined = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.combined(x)  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    """A residual branch: a bidirectional GRU over the second-last axis.

    Args:
        features: e.
        hidden: width of each direction.

    Shape:
        ``(b, rows, steps, e)`` to the same shape.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.rnn = nn.GRU(features, hidden, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * hidden, features)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        sequences = self.norm(x).flatten(0, 1)
        return x + self.fc(self.rnn(sequences)[0]).reshape(x.shape)  # type: ignore[no-any-return]


class Swap(nn.Module):
    """Swaps the axes of bands and frames, so the next layer runs over the other one.

    Shape:
        ``(b, k, t, e)`` to ``(b, t, k, e)``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return x.transpose(1, 2)


class TimeAndBands(nn.Module):
    """Recurrent layers over time and over bands in turn.

    Args:
        pairs: number of layers over time, and of layers over bands.
        features: e.
        hidden: width of each direction.

    Shape:
        ``(b, k, t, e)`` to the same shape.
    """

    def __init__(self, pairs: int, features: int, hidden: int) -> None:
        super().__init__()
        layers = ((Recurrent(features, hidden), Swap()) for _ in range(2 * pairs))
        self.seqband = nn.Sequential(*chain.from_iterable(layers))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.seqband(x)  # type: ignore[no-any-return]


class BandMask(nn.Module):
    """The mask of one stem in one band.

    Args:
        bins: of the band.
        features: e.
        hidden: width of the layer between.

    Shape:
        ``(b, t, e)`` to real and imaginary parts ``(b, t, bins, 2)``.
    """

    def __init__(self, bins: int, features: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.hidden = nn.Sequential(nn.Linear(features, hidden), nn.Tanh())
        self.output = nn.Sequential(nn.Linear(hidden, 4 * bins), nn.GLU())

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.output(self.hidden(self.norm(x)))
        return x.unflatten(-1, (-1, 2))  # type: ignore[no-untyped-call, no-any-return]


class MaskEstimator(nn.Module):
    """The mask of one stem: where bands overlap, the mean of their masks.

    Args:
        bands: see :data:`Bands`.
        features: e.
        hidden: width of the layers between.

    Shape:
        ``(b, k, t, e)`` to complex ``(b, t, f)``.
    """

    def __init__(self, bands: Bands, features: int, hidden: int) -> None:
        super().__init__()
        self.bands = bands
        self.norm_mlp = nn.ModuleList(
            BandMask(end - start, features, hidden) for start, end in bands
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        bins = self.bands[-1][1]
        mask = torch.zeros(x.shape[0], x.shape[2], bins, 2, device=x.device)
        for layers, band, (start, end) in zip(self.norm_mlp, x.unbind(1), self.bands, strict=True):
            mask[:, :, start:end] += layers(band)
        mask *= bin_weights(self.bands).to(x.device)[:, None]
        return torch.view_as_complex(mask)


class Bandit(nn.Module):
    """The whole network.

    Args:
        stems: their names, which are part of the keys.
        n_bands: number of bands.
        n_sqm_modules: pairs of recurrent layers.
        emb_dim: features of a band.
        rnn_dim: width of a direction of the recurrent layers.
        mlp_dim: width of the layers of masks.
        n_fft: length of the STFT's window in samples.
        hop_length: hop of the STFT in samples.
        pad_mode: see :func:`demixing.networks.stft.stft`.
        parts_first: see :class:`BandSplit`.

    Shape:
        mixtures ``(b, c, samples)`` to stems ``(b, stems, c, samples)``; with mirrored ends, of
        more than half a window.
    """

    def __init__(
        self,
        *,
        stems: Sequence[str] = ("speech", "music", "sfx"),
        n_bands: int = BANDS,
        n_sqm_modules: int = 8,
        emb_dim: int = 128,
        rnn_dim: int = 256,
        mlp_dim: int = 512,
        n_fft: int = 2048,
        hop_length: int = 512,
        pad_mode: str = "reflect",
        parts_first: bool = False,
    ) -> None:
        super().__init__()
        self.frame, self.frame_hop, self.pad_mode = n_fft, hop_length, pad_mode
        bands = bands_of(n_fft // 2, n_bands)
        self.band_split = BandSplit(bands, emb_dim, parts_first=parts_first)
        self.tf_model = TimeAndBands(n_sqm_modules, emb_dim, rnn_dim)
        self.mask_estim = nn.ModuleDict(
            {stem: MaskEstimator(bands, emb_dim, mlp_dim) for stem in stems}
        )

    def forward(self, mixtures: Tensor) -> Tensor:
        """See the class."""
        samples = mixtures.shape[-1]
        if (missing := self.nearest_length(samples) - samples) > 0:  # such as the end of a song
            return self.forward(F.pad(mixtures, (0, missing)))[..., :samples]
        mixtures = mixtures.float()
        spectrum = stft(mixtures, self.frame, self.frame_hop, self.pad_mode).transpose(2, 3)
        # The layers expect windows of unit energy.
        inputs = torch.view_as_real(spectrum.flatten(0, 1)) / math.sqrt(3 / 8 * self.frame)
        dtype = next(self.parameters()).dtype
        x = self.tf_model(self.band_split(inputs.to(dtype)))
        stems = []
        for estimator in self.mask_estim.values():
            masked = estimator(x).reshape(spectrum.shape) * spectrum
            stems.append(
                istft(masked.transpose(2, 3), self.frame, self.frame_hop, mixtures.shape[-1])
            )
        return torch.stack(stems, dim=1)

    def nearest_length(self, samples: int) -> int:
        """The nearest length of chunks: the STFT may mirror half a window at their ends."""
        return max(samples, self.frame // 2 + 1) if self.pad_mode == "reflect" else samples


def bands_of(top: int, count: int) -> tuple[tuple[int, int], ...]:
    """Return overlapping bands of equal width in octaves.

    Their centres are evenly spaced in pitch from bin 1 to the last one.

    Args:
        top: the last bin.
        count: number of bands, at least 2.

    >>> bands = bands_of(1024, 64)
    >>> bands[:3], bands[-2:]
    (((0, 3), (1, 3), (1, 3)), ((823, 1024), (918, 1025)))
    """
    ratio = top ** (1 / count)
    centres = [top ** (index / (count - 1)) for index in range(count)]
    starts = [math.floor(centre / ratio) for centre in centres]
    ends = [min(math.ceil(centre * ratio), top) + 1 for centre in centres]
    return tuple(zip([0, *starts[1:]], [*ends[:-1], top + 1], strict=True))


def bin_weights(bands: Bands) -> Tensor:
    """Return for each bin the weight of its bands, one over their number, ``(f,)``.

    >>> bin_weights([(0, 2), (1, 3)])
    tensor([1.0000, 0.5000, 1.0000])
    """
    count = torch.zeros(bands[-1][1], device="cpu")
    for start, end in bands:
        count[start:end] += 1
    return 1 / count


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of Plus under the keys of v2.

    >>> list(renamed({"bsrnn.tf_model.seqband.3.fc.bias": torch.zeros(1)}))
    ['tf_model.seqband.6.fc.bias']
    """
    return {_renamed(key.removeprefix(PLUS)): value for key, value in state.items()}


def _renamed(key: str) -> str:
    """Return the key of v2 for a key of Plus without its prefix."""
    key = re.sub(r"(band_split\.norm_fc_modules\.\d+)\.norm\.", r"\1.combined.0.", key)
    key = re.sub(r"(band_split\.norm_fc_modules\.\d+)\.fc\.", r"\1.combined.1.", key)
    # In v2, a layer without weights follows each recurrent one.
    return re.sub(
        r"(tf_model\.seqband\.)(\d+)", lambda found: f"{found[1]}{2 * int(found[2])}", key
    )
