"""Short excerpts of what a check of a data set suspects, to judge by ear.

The findings do not say where, so each kind has a rule for the place that shows it best. All
excerpts are brought to one peak; the gain is said. What cannot be judged by ear, such as a missing
file or another sample rate, has none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demixing.audio import inline
from demixing.errors import SongError
from demixing.plots.check_songs import SongRow
from demixing.training.data import wav
from demixing.training.data.checks.findings import Finding
from demixing.training.data.checks.signal_faults import flat_tops
from demixing.training.data.layouts import Found

LENGTH_S = 6
READ_S = 60
"""Length that is read at once when a place is sought."""

STEP_S = 2
"""A place is one of these steps; its excerpt starts one step before it."""

MOST = 80
"""Excerpts in a page: at 64 kbit/s they take about 5 MB as text."""

PEAK = 0.5
"""Excerpts have this peak: loud enough for quiet places, and no shock for the ears."""

MOST_GAIN = 1000.0
"""60 dB: what is fainter stays fainter."""

FLOOR = 1e-4
"""-80 dBFS: below this, a stem counts as silent when a place for its bleeding is chosen."""

Audio = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """A sound for a player.

    Attributes:
        title: what it is.
        start_s: where it begins in the song, in seconds.
        gain_db: by how much it was raised.
        uri: the sound, as a ``data:`` address.
    """

    title: str
    start_s: float
    gain_db: float
    uri: str


def of_finding(row: SongRow, finding: Finding) -> list[Excerpt]:
    """The excerpts for a finding.

    There are none if it is not audible, or a file cannot be read, or the song's files have several
    sample rates.
    """
    rule = RULES.get(finding.kind)
    rates = {file.rate_hz for file in row.analysis.files.values() if file.samples}
    if rule is None or len(rates) != 1:
        return []
    try:
        return list(_cut(row, rule(row, finding)))
    except SongError:
        return []


@dataclass(frozen=True, slots=True)
class _Sound:
    """What to play: titles with signed stems, and the second to show."""

    sounds: dict[str, dict[str, int]]
    at_s: float


_Rule = Callable[[SongRow, Finding], _Sound]


def _cut(row: SongRow, what: _Sound) -> Iterator[Excerpt]:
    """Read and encode the excerpts, all of the same place."""
    rate_hz = _rate(row.song)
    length_s = max(file.samples for file in row.analysis.files.values()) / rate_hz
    start_s = min(max(what.at_s - STEP_S, 0.0), max(length_s - LENGTH_S, 0.0))
    for title, signs in what.sounds.items():
        audio = mixed(row.song, signs, start_s, LENGTH_S)
        peak = float(np.abs(audio).max(initial=0))
        if not peak:
            continue
        gain = min(PEAK / peak, MOST_GAIN)
        yield Excerpt(
            title=title,
            start_s=start_s,
            gain_db=20 * math.log10(gain),
            uri=inline.data_uri(audio * np.float32(gain), rate_hz),
        )


def mixed(song: Found, signs: dict[str, int], start_s: float, seconds: float) -> Audio:
    """A signed sum of stems, ``(samples, 2)``, with 0 for NaN.

    Raises:
        SongError: a file cannot be read.
    """
    rate_hz = _rate(song)
    start, samples = round(start_s * rate_hz), round(seconds * rate_hz)
    total = np.zeros((samples, 2), np.float32)
    for stem, sign in signs.items():
        paths = song.mixture if stem == "mixture" else song.stems.get(stem, ())
        for side, path in enumerate(paths):
            audio = np.nan_to_num(wav.part(path, start, samples), posinf=0.0, neginf=0.0)
            if stem == "mixture" and len(paths) == 2:  # a file per channel
                total[: len(audio), side] += sign * audio[:, 0]
            else:
                total[: len(audio)] += sign * audio[:, :2]
    return total


def _rate(song: Found) -> int:
    """Sample rate of the first readable file."""
    for path in song.files:
        try:
            return wav.header(path).rate_hz
        except SongError:
            continue
    raise SongError(f"no file of {song.name!r} can be read")


def _blocks(row: SongRow, signs: dict[str, int]) -> Iterator[tuple[float, Audio]]:
    """Consecutive steps of a signed sum, with their starts in seconds."""
    rate_hz = _rate(row.song)
    samples = max(file.samples for file in row.analysis.files.values())
    step = STEP_S * rate_hz
    for start in range(0, samples, READ_S * rate_hz):
        audio = mixed(row.song, signs, start / rate_hz, READ_S)
        for at in range(0, min(len(audio), samples - start), step):
            yield (start + at) / rate_hz, audio[at : at + step]


def _most(row: SongRow, signs: dict[str, int], value: Callable[[Audio], float]) -> float:
    """The second with the highest value."""
    return max(_blocks(row, signs), key=lambda one: value(one[1]))[0]


def _power(audio: Audio) -> float:
    return float(np.square(audio, dtype=np.float64).mean())


def _clipped(audio: Audio) -> float:
    """Samples in flat tops, then the power, where the sum of several files hides the tops."""
    return sum(flat_tops(channel) for channel in audio.T) + min(_power(audio), 0.9)


def _stem(row: SongRow, finding: Finding) -> dict[str, dict[str, int]]:
    return {finding.stem: {finding.stem: 1}}


def _loudest(row: SongRow, finding: Finding) -> _Sound:
    """Where the stem is loudest."""
    return _Sound(_stem(row, finding), _most(row, {finding.stem: 1}, _power))


def _flat(row: SongRow, finding: Finding) -> _Sound:
    """Where most samples are clipped."""
    return _Sound(_stem(row, finding), _most(row, {finding.stem: 1}, _clipped))


def _missing_samples(row: SongRow, finding: Finding) -> _Sound:
    """Where a NaN is; that moment is silent in the excerpt."""
    paths = row.song.mixture if finding.stem == "mixture" else row.song.stems[finding.stem]
    return _Sound(_stem(row, finding), min(_first_bad_s(path) for path in paths))


def _first_bad_s(path: Path) -> float:
    """The second of the first NaN or infinity of a file; infinity if there is none."""
    header = wav.header(path)
    for start in range(0, header.samples, STEP_S * header.rate_hz):
        audio = wav.part(path, start, STEP_S * header.rate_hz)
        bad = np.flatnonzero(~np.isfinite(audio).all(axis=1))
        if len(bad):
            return (start + int(bad[0])) / header.rate_hz
    return math.inf


def _end(row: SongRow, finding: Finding) -> _Sound:
    """Where the stem ends before the others."""
    samples = max(
        (file.samples for file in row.analysis.files.values() if file.stem == finding.stem),
        default=0,
    )
    return _Sound(_stem(row, finding), samples / _rate(row.song))


def _difference(row: SongRow, finding: Finding) -> _Sound:
    """Where the mixture differs most from the sum of the stems."""
    rest = {"mixture": 1, **dict.fromkeys(row.song.stems, -1)}
    sounds = {"mixture": {"mixture": 1}, "mixture minus all stems": rest}
    return _Sound(sounds, _most(row, rest, _power))


def _quiet(row: SongRow, finding: Finding) -> _Sound:
    """Where the stem is quietest beside the stem that bleeds into it, and not silent."""
    source = finding.source
    pairs = zip(_blocks(row, {finding.stem: 1}), _blocks(row, {source: 1}), strict=True)

    def excess(pair: tuple[tuple[float, Audio], tuple[float, Audio]]) -> float:
        (_, own), (_, other) = pair
        quiet = _power(own)
        return _power(other) / quiet if quiet > FLOOR**2 else -1.0

    (at_s, _), _ = max(pairs, key=excess)
    return _Sound(
        {finding.stem: {finding.stem: 1}, f"{source}, at the same time": {source: 1}}, at_s
    )


RULES: dict[str, _Rule] = {
    "short": _end,
    "nan": _missing_samples,
    "clipped": _flat,
    "offset": _loudest,
    "dead": _loudest,
    "sum": _difference,
    "bleeding": _quiet,
    "label": _loudest,
    "duplicate": _loudest,
    "leak": _loudest,
}
"""Where to listen, by kind of finding."""


def of_songs(songs: Sequence[SongRow], most: int = MOST) -> dict[Finding, list[Excerpt]]:
    """Excerpts for the findings of songs in their order, until ``most`` are there; notes last."""
    found: dict[Finding, list[Excerpt]] = {}
    pairs = [(row, one) for row in songs for one in row.findings]
    for row, finding in sorted(pairs, key=lambda pair: not pair[1].fault):
        if sum(map(len, found.values())) >= most:
            break
        found[finding] = of_finding(row, finding)
    return found
