"""Level by time and frequency, on a logarithmic frequency scale, in blocks.

Frames of a waveform are windowed (Hann) and transformed; powers are averaged over channels and over
the frames of a column. The channels are not mixed first: what is out of phase between them would
cancel. A row is the power in its band, so a full-scale sine has about 0 dB at any frequency, and
pink noise the same level in all rows above 1 kHz. Below about 430 Hz, bins are further apart than
rows, so a row is at least one bin wide: noise looks louder there, by up to 13 dB at 40 Hz.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from demixing.report.signs import MINUS
from demixing.report.sounds import Block

FRAME = 2048
"""Samples per transform: 46 ms, and bins of 21.5 Hz, at 44.1 kHz."""

ROWS = 128
LOWEST_HZ = 40.0
HIGHEST_HZ = 20_000.0

FLOOR_DB = -90.0
CEILING_DB = -10.0
"""The fixed scale of all pictures; quieter and louder levels have the colour of its ends."""

MOST_COLUMNS = 800
COLUMNS_PER_S = 60
FRAMES_PER_COLUMN = 4
"""So long songs do not take longer for each column."""


class Spectrogram:
    """Measures a waveform that arrives in blocks.

    Args:
        rate_hz: sample rate.
        samples: length of the waveform.
        channels: number of channels.
    """

    def __init__(self, rate_hz: int, samples: int, channels: int) -> None:
        self._samples = max(samples, 1)
        wanted = round(COLUMNS_PER_S * samples / rate_hz)
        self._columns = min(max(wanted, 1), MOST_COLUMNS)
        apart = samples // (self._columns * FRAMES_PER_COLUMN)
        self._hop = max(apart, FRAME // 4)
        self._window = np.hanning(FRAME + 1)[:-1].astype(np.float32)
        self._weights = row_weights(rate_hz)
        self._power = np.zeros((self._columns, FRAME // 2 + 1), np.float64)
        self._counts = np.zeros(self._columns)
        self._waiting = np.zeros(
            (channels, FRAME // 2), np.float32
        )  # the first frame's centre is 0
        self._start = 0  # centre of the next frame
        self._ahead = 0  # samples before the next frame, if the hop is longer than a frame

    def push(self, block: Block) -> None:
        """Add the next block."""
        self._waiting = np.concatenate([self._waiting, block.T.astype(np.float32)], axis=1)
        self._take()

    def finish(self) -> NDArray[np.float64]:
        """Levels in dB, ``(rows, columns)``, the lowest frequency in the first row."""
        self._waiting = np.pad(self._waiting, ((0, 0), (0, FRAME // 2)))
        self._take()
        counts = np.maximum(self._counts, 1)[:, None]
        full_scale = float(np.square(self._window.sum() / 2))
        power = (self._power / counts) @ self._weights.T / full_scale
        filled = _filled(power, self._counts > 0)
        return np.asarray(10 * np.log10(np.maximum(filled.T, 1e-20)), np.float64)

    def _take(self) -> None:
        """Transform all frames that are complete."""
        self._skip()
        available = self._waiting.shape[1]
        if self._ahead or available < FRAME:
            return
        count = (available - FRAME) // self._hop + 1
        frames = sliding_window_view(self._waiting, FRAME, axis=1)[:, :: self._hop][:, :count]
        spectra = np.fft.rfft(frames * self._window, axis=-1)
        power = sum(np.square(one.real) + np.square(one.imag) for one in spectra) / len(spectra)
        centres = self._start + self._hop * np.arange(count)
        columns = np.minimum(centres * self._columns // self._samples, self._columns - 1)
        starts = np.flatnonzero(np.diff(columns, prepend=-1))
        self._power[columns[starts]] += np.add.reduceat(power, starts, axis=0)
        self._counts += np.bincount(columns, minlength=self._columns)
        used = count * self._hop
        kept = min(used, available)
        self._waiting = self._waiting[:, kept:]
        self._start += used
        self._ahead = used - kept

    def _skip(self) -> None:
        """Drop samples between two frames."""
        dropped = min(self._ahead, self._waiting.shape[1])
        self._waiting = self._waiting[:, dropped:]
        self._ahead -= dropped


def row_weights(rate_hz: int) -> NDArray[np.float64]:
    """Weights of the bins in each row, ``(rows, bins)``: triangles that add up to the whole power.

    Args:
        rate_hz: sample rate.
    """
    bins_hz = np.arange(FRAME // 2 + 1) * rate_hz / FRAME
    centres_hz = frequencies_hz(rate_hz)
    step = centres_hz[1] / centres_hz[0]
    # Where rows are closer together than bins, a triangle interpolates between two bins.
    widths_hz = np.maximum(centres_hz * (step - 1), rate_hz / FRAME)
    away = np.abs(bins_hz[None, :] - centres_hz[:, None]) / widths_hz[:, None]
    # A Hann window spreads a sine: its neighbouring bins have a quarter of the power.
    neighbours = 2 * 0.25 * (1 - rate_hz / FRAME / widths_hz)
    return np.asarray(np.maximum(1 - away, 0) / (1 + neighbours)[:, None], np.float64)


def frequencies_hz(rate_hz: int) -> NDArray[np.float64]:
    """Centre of each row."""
    return np.geomspace(LOWEST_HZ, highest_hz(rate_hz), ROWS)


def highest_hz(rate_hz: int) -> float:
    """Frequency of the last row."""
    return min(HIGHEST_HZ, rate_hz / 2)


def _filled(power: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give columns without a frame the values of the nearest one before it.

    Args:
        power: ``(columns, rows)``.
        known: columns with at least one frame.
    """
    places = np.where(known, np.arange(len(known)), 0)
    return power[np.maximum.accumulate(places)]


def description(levels_db: NDArray[np.float64], rate_hz: int) -> str:
    """One sentence for those who cannot see the picture.

    Args:
        levels_db: result of :meth:`Spectrogram.finish`.
        rate_hz: sample rate.
    """
    power = np.power(10, levels_db / 10).mean(axis=1)
    if levels_db.max(initial=-math.inf) < FLOOR_DB:
        return f"below {MINUS}{-FLOOR_DB:.0f} dB everywhere"
    centres_hz = frequencies_hz(rate_hz)
    loudest = centres_hz[int(power.argmax())]
    share = np.cumsum(power) / power.sum()
    upper = centres_hz[min(int(np.searchsorted(share, 0.95)), ROWS - 1)]
    return f"loudest around {_hertz(loudest)}, 95 % below {_hertz(upper)}"


def _hertz(frequency: float) -> str:
    """A frequency, rounded.

    >>> _hertz(1234.0), _hertz(12_340.0), _hertz(87.3)
    ('1.2 kHz', '12 kHz', '87 Hz')
    """
    digits = 1 if frequency < 10_000 else 0
    kilo = f"{frequency / 1000:.{digits}f} kHz"
    return kilo if frequency >= 1000 else f"{frequency:.0f} Hz"
