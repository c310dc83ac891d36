"""What one song tells by itself: files and stems that are not as they should be.

A *fault* is what a network should not be trained on unseen; a *note* is what may be meant, such as
a stem that is silent. Each finding has a kind, and a number that the kind explains.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from demixing.training.data.checks.analysis import Heard, Listened
from demixing.training.data.layouts import Found

SILENT_DB = -80
CLIPPED_SHARE = 1e-5
"""Part of all samples; below, clipping is a note: a click or two."""
OFFSET, OFFSET_SHARE = 2e-3, 0.02
"""An offset, full scale at 1, and as part of the level: loud bass has a mean, too."""
SUM_DB = 40
"""Stems and mixtures of 16 bits sum to 60 dB and more unless the mixture is clipped."""
LEAK_SHARE = 0.03
"""Twice what stems of rendered songs show that have nothing of each other."""
LEAK_PLACES = 5
"""Quiet places, below which there is nothing to judge."""
LEAK_SPREAD_DB = 1.5
"""Bleeding has one gain; what is alike by chance has any."""
LEAK_GAIN_DB = 1.0
"""What is louder in a stem than in its source comes from the stem itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something to look at.

    Attributes:
        kind: a key of :data:`demixing.training.data.checks.kinds.KINDS`.
        song: its name, with its folder's where there are several.
        stem: name of a stem or ``mixture``; empty if the song is meant.
        value: the kind's number.
        text: the same in words.
        fault: whether it is a fault, and not a note.
    """

    kind: str
    song: str
    stem: str = ""
    value: float = 0.0
    text: str = ""
    fault: bool = True


def of_song(
    song: Found, heard: Listened, stems: Sequence[str], rate_hz: int, name: str
) -> list[Finding]:
    """Judge one song.

    Args:
        song: where its files are.
        heard: what they hold.
        stems: that it should have.
        rate_hz: that it should have.
        name: that it has in the findings.
    """
    found = [
        Finding(kind="missing", song=name, stem=stem, text="no file")
        for stem in stems
        if stem not in song.stems
    ]
    found += [
        Finding(kind="ignored", song=name, text=path.name, fault=False) for path in song.ignored
    ]
    longest = max((facts.samples for facts in heard.files.values()), default=0)
    for file, facts in heard.files.items():
        found += _of_file(file, facts, name, longest, rate_hz)
    found += _silent(song, heard, name)
    if heard.error_power is not None and heard.mixture_power > 0:
        sdr_db = 10 * math.log10(heard.mixture_power / max(heard.error_power, 1e-20))
        if sdr_db < SUM_DB:
            text = f"the sum of the stems is {sdr_db:.1f} dB from the mixture"
            found.append(
                Finding(kind="sum", song=name, stem="mixture", value=round(sdr_db, 1), text=text)
            )
    return found + list(_bleeding(heard, name))


def _of_file(file: str, facts: Heard, name: str, longest: int, rate_hz: int) -> Iterator[Finding]:
    """What one file tells."""

    def finding(kind: str, value: float, text: str, fault: bool = True) -> Finding:
        return Finding(
            kind=kind, song=name, stem=facts.stem, value=value, text=f"{file}: {text}", fault=fault
        )

    if facts.error:
        yield finding("unreadable", 0, facts.error)
    if not facts.samples:
        return
    if facts.rate_hz != rate_hz:
        yield finding("rate", facts.rate_hz, f"{facts.rate_hz} Hz where {rate_hz} Hz are expected")
    elif facts.samples < longest:
        lacking_s = round((longest - facts.samples) / rate_hz, 4)
        yield finding("short", lacking_s, f"{lacking_s} s shorter than the longest file")
    if facts.bad:
        yield finding("nan", facts.bad, f"{facts.bad} samples are no number")
    if facts.clipped:
        much = facts.clipped > CLIPPED_SHARE * facts.samples
        yield finding(
            "clipped", facts.clipped, f"{facts.clipped} samples at {facts.peak:.3f}", much
        )
    if facts.offset > max(OFFSET, OFFSET_SHARE * math.sqrt(facts.power)):
        yield finding("offset", facts.offset, f"mean of {facts.offset:.4f}")
    if facts.dead:
        yield finding("dead", 0, "one channel is silent")
    if facts.mono:
        yield finding("mono", facts.channels, f"mono in {facts.channels} channels", fault=False)


def _silent(song: Found, heard: Listened, name: str) -> Iterator[Finding]:
    """Stems that are silent; a fault if all are."""
    powers = {
        stem: sum(facts.power for facts in heard.files.values() if facts.stem == stem)
        for stem in song.stems
        if not any(facts.error for facts in heard.files.values() if facts.stem == stem)
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
            fault=len(silent) == len(levels_db),
        )


def _bleeding(heard: Listened, name: str) -> Iterator[Finding]:
    """Stems whose quiet places are copies of others."""
    for stem, leaks in heard.leaks.items():
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
                text=f"{leak.share:.0%} of what is heard in the best quarter of {leak.places} "
                f"quiet places is {leak.source} at {leak.gain_db:+.1f} dB "
                f"(within {leak.spread_db:.1f} dB): {both}",
            )
