"""Findings about single songs: faulty files and stems.

A *fault* should be looked at before a network is trained on the song. A *note* may be intended,
such as a silent stem. Each finding has a kind and a number, whose meaning depends on the kind.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from demixing.evaluation.stem_file import is_stream
from demixing.training.data.checks.analysis import FileAnalysis, SongAnalysis
from demixing.training.data.layouts import Found

SILENT_DB = -80
CLIPPED_SHARE = 1e-5
"""Part of all samples. Clipping below this is a note: a click or two."""
OFFSET, OFFSET_SHARE = 2e-3, 0.02
"""An offset at full scale 1, and relative to the level, since loud bass has a mean as well."""
SUM_DB = 40
"""Stems of 16 bits match their mixture to 60 dB or more, unless the mixture is clipped."""
LEAK_SHARE = 0.03
"""Twice the share that unrelated stems of rendered songs show."""
LEAK_PLACES = 5
"""Least number of quiet places for a judgement."""
LEAK_SPREAD_DB = 1.5
"""Bleeding has one gain; chance similarities have various."""
LEAK_GAIN_DB = 1.0
"""A sound that is louder in a stem than in its source comes from the stem itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A fault or a note.

    Attributes:
        kind: a key of :data:`demixing.training.data.checks.kinds.KINDS`.
        song: name of the song, with its folder if there are several.
        stem: name of the stem or ``mixture``; empty if it concerns the whole song.
        value: its number; the kind defines meaning and unit.
        text: the finding in words.
        fault: True for a fault, False for a note.
        source: stem that bleeds into this one; empty for other kinds.
    """

    kind: str
    song: str
    stem: str = ""
    value: float = 0.0
    text: str = ""
    fault: bool = True
    source: str = ""


def of_song(
    song: Found, analysis: SongAnalysis, stems: Sequence[str], rate_hz: int, name: str
) -> list[Finding]:
    """Judge one song.

    Args:
        song: the song with its files.
        analysis: analysis of the song.
        stems: stems that the song should have.
        rate_hz: sample rate that its files should have.
        name: name of the song in the findings.
    """
    found = [
        Finding(kind="missing", song=name, stem=stem, text="no file")
        for stem in stems
        if stem not in song.stems and not song.loose
    ]
    found += [
        Finding(kind="ignored", song=name, text=path.name, fault=False) for path in song.ignored
    ]
    longest = max((file.samples for file in analysis.files.values()), default=0)
    for path, file in analysis.files.items():
        found += _of_file(path, file, name, longest, rate_hz)
    found += _silent(song, analysis, name)
    if analysis.error_power is not None and analysis.mixture_power > 0:
        sdr_db = 10 * math.log10(analysis.mixture_power / max(analysis.error_power, 1e-20))
        if sdr_db < SUM_DB:
            text = f"the sum of the stems is {sdr_db:.1f} dB from the mixture"
            found.append(
                Finding(
                    kind="sum",
                    song=name,
                    stem="mixture",
                    value=round(sdr_db, 1),
                    text=text,
                    fault=not any(map(is_stream, song.mixture)),  # lossy, and may be mastered
                )
            )
    return found + list(_bleeding(analysis, name))


def _of_file(
    path: str, file: FileAnalysis, name: str, longest: int, rate_hz: int
) -> Iterator[Finding]:
    """Findings about one file."""

    def finding(kind: str, value: float, text: str, fault: bool = True) -> Finding:
        return Finding(
            kind=kind, song=name, stem=file.stem, value=value, text=f"{path}: {text}", fault=fault
        )

    if file.error:
        yield finding("unreadable", 0, file.error)
    elif not file.samples:
        yield finding("empty", 0, "no samples")
    if not file.samples:
        return
    if file.rate_hz != rate_hz:
        yield finding("rate", file.rate_hz, f"{file.rate_hz} Hz where {rate_hz} Hz are expected")
    elif file.samples < longest:
        lacking = longest - file.samples
        plural = "" if lacking == 1 else "s"
        text = f"{lacking} sample{plural} ({lacking / rate_hz:.4g} s) shorter than the longest file"
        yield finding("short", lacking, text)
    if file.bad:
        yield finding("nan", file.bad, f"{file.bad} samples are NaN or infinite")
    if file.clipped:
        much = file.clipped > CLIPPED_SHARE * file.samples
        yield finding("clipped", file.clipped, f"{file.clipped} samples at {file.peak:.3f}", much)
    if file.offset > max(OFFSET, OFFSET_SHARE * math.sqrt(file.power)):
        yield finding("offset", file.offset, f"mean of {file.offset:.4f}")
    if file.dead:
        yield finding("dead", 0, "one channel is silent")
    if file.mono:
        plural = "" if file.channels == 1 else "s"
        text = f"mono in {file.channels} channel{plural}"
        yield finding("mono", file.channels, text, fault=False)


def _silent(song: Found, analysis: SongAnalysis, name: str) -> Iterator[Finding]:
    """Silent stems; a fault if all stems are silent."""
    powers = {
        stem: sum(file.power for file in analysis.files.values() if file.stem == stem)
        for stem in song.stems
        if all(
            file.samples and not file.error for file in analysis.files.values() if file.stem == stem
        )
    }
    levels_db = {stem: 10 * math.log10(power + 1e-12) for stem, power in powers.items()}
    silent = [stem for stem, level_db in levels_db.items() if level_db < SILENT_DB]
    for stem in silent:
        yield Finding(
            kind="silent",
            song=name,
            stem=stem,
            value=round(levels_db[stem], 1),
            text="silent" if len(silent) < len(levels_db) else "silent, as are all its stems",
            fault=len(silent) == len(levels_db) and not song.loose,
        )


def _bleeding(analysis: SongAnalysis, name: str) -> Iterator[Finding]:
    """Stems whose quiet places are copies of other stems."""
    for stem, leaks in analysis.leaks.items():
        for leak in leaks:
            if leak.share < LEAK_SHARE or leak.places < LEAK_PLACES:
                continue
            if leak.spread_db > LEAK_SPREAD_DB or leak.gain_db > LEAK_GAIN_DB:
                continue
            both = "the same sound is in both" if abs(leak.gain_db) < 1 else "it bleeds"
            yield Finding(
                kind="bleeding",
                song=name,
                stem=stem,
                value=leak.share,
                text=f"{leak.share:.0%} of the sound in the best quarter of {leak.places} "
                f"quiet places is {leak.source} at {leak.gain_db:+.1f} dB "
                f"(within {leak.spread_db:.1f} dB): {both}",
                source=leak.source,
            )
