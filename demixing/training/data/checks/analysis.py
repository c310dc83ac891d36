"""Analyses one song from start to end, all its files side by side.

Only a few seconds are in memory at a time. The analysis is small, and cached as JSON until a file
of the song changes (:mod:`demixing.training.data.metadata` explains the cache).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demixing.errors import SongError
from demixing.training.data import wav
from demixing.training.data.checks import bleeding, fingerprints, spectra
from demixing.training.data.checks.bleeding import Cell, Leak
from demixing.training.data.checks.signal_faults import Meter
from demixing.training.data.layouts import Found

VERSION = 1
BLOCK_S = 4
"""Long enough for a few syllables or beats, short enough to separate quiet places."""
LEAST_S = 2
"""Features of shorter blocks, at the end of a song, are not measured."""
ACTIVE_DB = -50
"""Features of a stem are measured in blocks that are louder than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAnalysis:
    """Measurements of one file.

    Attributes:
        stem: the stem it belongs to, or ``mixture``.
        samples: per channel; 0 if the file could not be read.
        rate_hz: sample rate.
        channels: number of channels of the file.
        peak: largest magnitude, full scale at 1.
        power: mean square over samples and channels.
        bad: samples that are NaN or infinite.
        clipped: samples in flat tops near full scale.
        offset: the largest mean of a channel.
        mono: whether there is one channel, or both are the same.
        dead: whether one channel is silent and another is not.
        error: why the file could not be read; empty if it could.
    """

    stem: str
    samples: int = 0
    rate_hz: int = 0
    channels: int = 0
    peak: float = 0.0
    power: float = 0.0
    bad: int = 0
    clipped: int = 0
    offset: float = 0.0
    mono: bool = False
    dead: bool = False
    error: str = ""


@dataclass(slots=True, kw_only=True)
class SongAnalysis:
    """Measurements of one song.

    Attributes:
        files: measurements by path below the song's folder.
        error_power: mean square of the mixture minus the sum of the stems; None without a mixture.
        mixture_power: mean square of the mixture.
        prints: fingerprints by stem: (place, distance, distance) in samples for each peak.
        features: by stem, ``(blocks, features)`` of the blocks in which the stem is active.
        leaks: by stem, evidence for each other stem in its quiet places.
    """

    files: dict[str, FileAnalysis] = field(default_factory=dict)
    error_power: float | None = None
    mixture_power: float = 0.0
    prints: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    features: dict[str, list[list[float]]] = field(default_factory=dict)
    leaks: dict[str, list[Leak]] = field(default_factory=dict)

    @classmethod
    def of_json(cls, entry: Mapping[str, Any]) -> "SongAnalysis":
        """Undo :func:`dataclasses.asdict`."""
        files = {name: FileAnalysis(**file) for name, file in entry["files"].items()}
        leaks = {stem: [Leak(**leak) for leak in found] for stem, found in entry["leaks"].items()}
        return cls(**{**entry, "files": files, "leaks": leaks})


def analyse(song: Found) -> SongAnalysis:
    """Analyse a song; a file that cannot be read is recorded as such, and counts as silence."""
    result = SongAnalysis()
    layouts: dict[Path, wav.Header] = {}
    for stem, paths in _files(song).items():
        for path in paths:
            try:
                layouts[path] = wav.header(path)
                fault = "" if layouts[path].channels <= 2 else "more than two channels"
            except SongError as error:
                fault = str(error)
            if fault:
                layouts.pop(path, None)
                result.files[_key(path, song)] = FileAnalysis(stem=stem, error=fault)
    rates = {layout.rate_hz for layout in layouts.values()}
    if rates:
        _analyse(song, layouts, sorted(rates)[0], len(rates) == 1, result)
    return result


def _files(song: Found) -> dict[str, tuple[Path, ...]]:
    return {**song.stems, "mixture": song.mixture}


def _key(path: Path, song: Found) -> str:
    return path.relative_to(song.folder).as_posix()


def _analyse(
    song: Found,
    layouts: Mapping[Path, wav.Header],
    rate_hz: int,
    alike: bool,
    result: SongAnalysis,
) -> None:
    """Read all files side by side; compare the stems if all have the same rate (``alike``)."""
    meters = {path: Meter(layout.channels) for path, layout in layouts.items()}
    peaks = {stem: fingerprints.Peaks() for stem in song.stems}
    block = BLOCK_S * rate_hz
    broken: dict[Path, str] = {}
    error_energy = 0.0
    cells: list[Cell] = []
    samples = max(layout.samples for layout in layouts.values())
    for start in range(0, samples, block):
        sums: dict[str, NDArray[np.float32]] = {}
        length = min(block, samples - start)
        for stem, paths in _files(song).items():
            known = [path for path in paths if path in layouts and path not in broken]
            sides = [_part(path, start, length, meters[path], broken) for path in known]
            sums[stem] = _joined(sides, length, halves=stem == "mixture" and len(known) == 2)
        for stem in song.stems:
            peaks[stem].add(sums[stem].mean(axis=0))
        if alike:
            if song.mixture:
                rest = sums["mixture"] - sum(sums[stem] for stem in song.stems)
                error_energy += float(np.square(rest, dtype=np.float64).sum())
            if length >= LEAST_S * rate_hz:
                cells += _compare([*song.stems], sums, rate_hz, result)
    for path, meter in meters.items():
        stem = next(stem for stem, paths in _files(song).items() if path in paths)
        result.files[_key(path, song)] = _file_analysis(
            stem, layouts[path], meter, broken.get(path, "")
        )
    for number, (stem, found) in enumerate(peaks.items()):
        result.prints[stem] = found.pairs(rate_hz)
        result.leaks[stem] = bleeding.leaks(cells, number, [*peaks])
    if song.mixture and alike and samples:
        result.error_power = error_energy / (2 * samples)
        mixtures = [meters[path] for path in song.mixture if path in meters]
        energy = sum(float(meter.energy.sum()) * 2 / meter.channels for meter in mixtures)
        result.mixture_power = energy / (2 * samples) / max(len(mixtures), 1)


def _part(
    path: Path, start: int, length: int, meter: Meter, broken: dict[Path, str]
) -> NDArray[np.float32]:
    """Read and measure a part of a file, ``(samples, channels)``; empty if that fails."""
    try:
        return meter.add(wav.part(path, start, length))
    except SongError as error:
        broken[path] = str(error)
        return np.zeros((0, 1), np.float32)


def _joined(
    sides: Sequence[NDArray[np.float32]], length: int, *, halves: bool
) -> NDArray[np.float32]:
    """Sum files to ``(2, length)``, or join a left and a right channel if they are ``halves``.

    Args:
        sides: ``(samples, channels)`` each; silence follows shorter ones.
        length: length in samples.
        halves: whether the two files are the two channels.
    """
    result = np.zeros((2, length), np.float32)
    for side, audio in enumerate(sides):
        if halves:
            result[side, : len(audio)] = audio[:, 0]
        else:
            result[:, : len(audio)] += audio.T
    return result


def _compare(
    stems: Sequence[str],
    sums: Mapping[str, NDArray[np.float32]],
    rate_hz: int,
    result: SongAnalysis,
) -> list[Cell]:
    """Measure the features of the stems in one block, and compare the stems.

    Args:
        stems: names.
        sums: audio of each stem, ``(2, samples)``.
        rate_hz: sample rate of the audio.
        result: gets the features.

    Returns:
        The quiet places of the block.
    """
    length = spectra.frame_length(rate_hz)
    both = spectra.frames(np.stack([sums[stem] for stem in stems]), length)
    for number, stem in enumerate(stems):
        power = float(np.square(sums[stem]).mean())
        if 10 * np.log10(power + 1e-12) > ACTIVE_DB:
            middle = both[number].mean(axis=0)
            row = spectra.features(middle, rate_hz)
            result.features.setdefault(stem, []).append([round(float(x), 3) for x in row])
    return bleeding.cells(both, rate_hz)


def _file_analysis(stem: str, layout: wav.Header, meter: Meter, error: str) -> FileAnalysis:
    """Measurements of one file from its meter."""
    return FileAnalysis(
        stem=stem,
        samples=meter.samples,
        rate_hz=layout.rate_hz,
        channels=layout.channels,
        peak=round(meter.peak, 6),
        power=float(meter.energy.sum()) / max(meter.samples * layout.channels, 1),
        bad=meter.bad,
        clipped=meter.clipped,
        offset=round(meter.offset, 6),
        mono=meter.alike and meter.peak > 0,
        dead=meter.dead,
        error=error,
    )
