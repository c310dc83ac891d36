"""Stems in memory: a dict that a notebook shows with players and waveforms."""

from __future__ import annotations

import copy
import html
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, SupportsIndex, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demixing.audio import inline
from demixing.notebook import waveform

Audio = TypeVar("Audio")
"""``NDArray[Any]`` or :class:`torch.Tensor`."""

MOST_S = 30.0
"""A player has at most this much of a stem."""

MOST_BYTES = 1_000_000
"""The players of all stems together take at most about this much of the notebook's file."""


class Stems(dict[str, Audio]):
    """The stems of a song by name: a ``dict`` of arrays or tensors, with their sample rate.

    In a notebook it shows a waveform, a level and a player for each stem. The players hold the same
    excerpt of all stems, at most 30 s, in about 1 MB. What they leave out is said.

    Pickled, and in a file of :func:`torch.save`, it is a plain ``OrderedDict`` without the rate,
    which can be read where this package is not installed.

    Args:
        stems: arrays ``(samples, channels)`` or tensors ``(channels, samples)``; mono may be
            ``(samples,)``. Full scale is at ±1.
        sample_rate_hz: of the stems.

    Attributes:
        sample_rate_hz: of the stems.
    """

    def __init__(self, stems: Mapping[str, Audio], sample_rate_hz: int) -> None:
        super().__init__(stems)
        self.sample_rate_hz = sample_rate_hz

    def __copy__(self) -> Stems[Audio]:
        return Stems(self, self.sample_rate_hz)

    def __deepcopy__(self, memo: dict[int, Any]) -> Stems[Audio]:
        return Stems(copy.deepcopy(dict(self), memo), self.sample_rate_hz)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return OrderedDict, (), None, None, iter(self.items())

    def _repr_html_(self) -> str:
        """The stems in a notebook."""
        known = {name: found for name, one in self.items() if (found := samples(one)) is not None}
        if not known or len(known) < len(self):  # something else was put into the dict
            return f"<pre>{html.escape(repr(self))}</pre>"
        return _shown(known, self.sample_rate_hz)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The part of a song that the players hold.

    Attributes:
        start: first sample.
        samples: length.
        gain: factor that keeps the loudest stem below full scale.
    """

    start: int
    samples: int
    gain: float


def samples(one: object) -> NDArray[np.float32] | None:
    """A stem as ``(samples, channels)``; None if it is not audio."""
    if isinstance(one, Tensor) and one.is_floating_point():
        found = one.detach().to("cpu", torch.float32).numpy().T
    elif isinstance(one, np.ndarray) and one.dtype.kind == "f":
        found = one.astype(np.float32)
    else:
        return None
    found = found[:, None] if found.ndim == 1 else found
    if found.ndim != 2 or not found.size:
        return None
    finite = np.isfinite(found)
    return found if finite.all() else np.where(finite, found, np.float32(0))


def excerpt(stems: Mapping[str, NDArray[np.float32]], sample_rate_hz: int) -> Excerpt:
    """The loudest part of a song that fits into the players.

    Args:
        stems: ``(samples, channels)`` each.
        sample_rate_hz: of the stems.
    """
    audible = sum(bool(one.any()) for one in stems.values())
    seconds = min(MOST_S, MOST_BYTES / inline.BYTES_PER_S / max(audible, 1))
    length = math.ceil(seconds * sample_rate_hz)
    longest = max(len(one) for one in stems.values())
    peak = max(peak_of(one) for one in stems.values())
    gain = 1 / max(peak, 1.0)
    if longest <= length:
        return Excerpt(0, longest, gain)
    energy = np.zeros(math.ceil(longest / sample_rate_hz))
    for one in stems.values():
        edges = np.arange(0, len(one), sample_rate_hz)
        sums = np.add.reduceat(np.square(one), edges, axis=0)
        energy[: len(sums)] += sums.sum(axis=1)
    window = max(length // sample_rate_hz, 1)
    totals = np.convolve(energy, np.ones(window), mode="valid")
    start = int(totals.argmax()) * sample_rate_hz
    return Excerpt(min(start, longest - length), length, gain)


def _shown(stems: Mapping[str, NDArray[np.float32]], rate_hz: int) -> str:
    """All stems as HTML."""
    part = excerpt(stems, rate_hz)
    longest = max(len(one) for one in stems.values())
    peak = max(peak_of(one) for one in stems.values())
    rows = "".join(_row(name, one, rate_hz, part, longest, peak) for name, one in stems.items())
    return (
        f'<div style="max-width:50em"><p>{_plural(len(stems), "stem")} of '
        f"{clock(longest / rate_hz)} min, {rate_hz} Hz. {_said(part, longest, rate_hz)}</p>"
        f"{rows}</div>"
    )


def _said(part: Excerpt, longest: int, rate_hz: int) -> str:
    """What the players hold, and what they do not."""
    said = "Players: Opus, for listening only."
    if part.samples < longest:
        start, end = part.start / rate_hz, (part.start + part.samples) / rate_hz
        said = (
            f"Players hold the loudest {part.samples / rate_hz:.0f} s, {clock(start)} to "
            f"{clock(end)} (shaded), as Opus; the arrays hold all of it."
        )
    if part.gain < 1:
        said += f" They are {20 * math.log10(part.gain):.1f} dB softer, to stay below full scale."
    return said


def _row(
    name: str,
    stem: NDArray[np.float32],
    rate_hz: int,
    part: Excerpt,
    longest: int,
    peak: float,
) -> str:
    """One stem: name, level, waveform and player."""
    label = html.escape(str(name))
    sound = stem[part.start : part.start + part.samples] * np.float32(part.gain)
    player = "silent here"
    if sound.any():
        player = (
            f'<audio controls preload="metadata" aria-label="{label}" '
            f'style="width:100%;height:36px" src="{inline.data_uri(sound, rate_hz)}"></audio>'
        )
    shown = None
    if part.samples < longest:
        shown = part.start / longest, (part.start + part.samples) / longest
    drawing = waveform.svg(
        (waveform.peaks(stem) / max(peak, 1e-9)).tolist(), f"waveform of {label}", shown
    )
    return (
        f'<figure style="margin:0.6em 0"><figcaption><b>{label}</b> {html.escape(level(stem))}'
        f"</figcaption>{drawing}{player}</figure>"
    )


def level(stem: NDArray[np.float32]) -> str:
    """Level, peak and channels in words.

    >>> level(np.full((4, 1), 0.5, np.float32))
    'RMS -6.0 dBFS, peak -6.0 dBFS, mono'
    """
    channels = {1: "mono", 2: "stereo"}.get(stem.shape[1], f"{stem.shape[1]} channels")
    if not stem.any():
        return f"silent, {channels}"
    rms = math.sqrt(float(np.square(stem, dtype=np.float64).mean()))
    peak = peak_of(stem)
    mixed = ", as their mean in the player" if stem.shape[1] > 2 else ""
    return f"RMS {decibels(rms)}, peak {decibels(peak)}, {channels}{mixed}"


def peak_of(stem: NDArray[np.float32]) -> float:
    """The largest magnitude."""
    return max(float(stem.max()), -float(stem.min()))


def decibels(magnitude: float) -> str:
    """A magnitude in dBFS: 0 dBFS is full scale."""
    return f"{20 * math.log10(magnitude):.1f} dBFS"


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(75.4)
    '1:15'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
