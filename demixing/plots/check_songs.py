"""The songs of a checked data set, most suspicious first: levels, activity and findings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from demixing.training.data.check import Report
from demixing.training.data.checks.analysis import ACTIVE_DB, BLOCK_S, LEAST_S, SongAnalysis
from demixing.training.data.checks.findings import Finding
from demixing.training.data.layouts import Found

__all__ = ["ACTIVE_DB", "BLOCK_S", "SongRow", "StemLevel", "rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StemLevel:
    """Measurements of one stem, over all its files.

    Attributes:
        stem: its name, or ``mixture``.
        rms_dbfs: level; 0 dBFS is a square wave at full scale. None for silence, or if no file
            could be read.
        peak_dbfs: of the largest sample; None like the level.
        active: part of the blocks of :data:`BLOCK_S` in which the stem is louder than
            :data:`ACTIVE_DB`, 0 to 1; None if that was not measured.
    """

    stem: str
    rms_dbfs: float | None
    peak_dbfs: float | None
    active: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SongRow:
    """One song.

    Attributes:
        name: as in the findings.
        song: its files.
        analysis: what the check measured.
        levels: by stem, then of the mixture.
        findings: faults first, then notes, each in the order of the check's kinds.
    """

    name: str
    song: Found
    analysis: SongAnalysis
    levels: dict[str, StemLevel]
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> int:
        """Number of findings that are not notes."""
        return sum(finding.fault for finding in self.findings)


def rows(report: Report) -> list[SongRow]:
    """All songs: those with most faults first, then those with most notes, then by name."""
    findings: dict[str, list[Finding]] = {}
    for one in report.findings:
        findings.setdefault(one.song, []).append(one)
    found = [
        SongRow(
            name=name,
            song=song,
            analysis=analysis,
            levels={one.stem: one for one in levels(song, analysis)},
            findings=tuple(sorted(findings.get(name, ()), key=lambda one: not one.fault)),
        )
        for name, song, analysis in report.songs()
    ]
    return sorted(found, key=lambda row: (-row.faults, -len(row.findings), row.name))


def levels(song: Found, analysis: SongAnalysis) -> Iterable[StemLevel]:
    """Yield the levels of a song's stems, then of its mixture."""
    for stem in (*song.stems, *(["mixture"] if song.mixture else [])):
        files = [file for file in analysis.files.values() if file.stem == stem]
        readable = [file for file in files if file.samples]
        power = sum(file.power for file in readable)
        if stem == "mixture":  # two mono files are two channels, not two parts
            power /= max(len(readable), 1)
        yield StemLevel(
            stem=stem,
            rms_dbfs=_decibels(math.sqrt(power)),
            peak_dbfs=_decibels(max((file.peak for file in readable), default=0.0)),
            active=None if stem == "mixture" or not readable else _active(stem, analysis),
        )


def _active(stem: str, analysis: SongAnalysis) -> float | None:
    """The active part of a stem; None if the song's files have several rates."""
    rates = {file.rate_hz for file in analysis.files.values() if file.samples}
    if len(rates) != 1:
        return None
    longest = max(file.samples for file in analysis.files.values()) / rates.pop()
    blocks = int(longest // BLOCK_S) + (longest % BLOCK_S >= LEAST_S)
    return len(analysis.features.get(stem, ())) / blocks if blocks else None


def _decibels(magnitude: float) -> float | None:
    """A magnitude in dBFS; None for silence."""
    return 20 * math.log10(magnitude) if magnitude > 0 else None


def stems_of(songs: Sequence[SongRow]) -> list[str]:
    """The names of all stems, the mixture last."""
    names = dict.fromkeys(stem for row in songs for stem in row.levels)
    return sorted(names, key=lambda stem: stem == "mixture")
