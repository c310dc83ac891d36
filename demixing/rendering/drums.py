"""Plays drum notes with a kit of single hits from any source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from demixing.rendering.notes import Note
from demixing.rendering.sound import RATE_HZ, Audio, faded

ROLES: Mapping[str, tuple[int, ...]] = {
    "kick": (35, 36),
    "rim": (37,),
    "snare": (38, 40),
    "clap": (39,),
    "low_tom": (41, 43),
    "mid_tom": (45, 47),
    "high_tom": (48, 50),
    "closed_hat": (42,),
    "pedal_hat": (44,),
    "open_hat": (46,),
    "crash": (49, 57),
    "ride": (51, 59),
    "china": (52,),
    "bell": (53,),
    "splash": (55,),
    "cowbell": (56, 67, 68),
    "shaker": (54, 69, 70, 82),
}
"""Notes of General MIDI's drum channel, by part of a kit."""
INSTEAD: Mapping[str, tuple[str, ...]] = {
    "rim": ("clap", "snare"),
    "clap": ("rim", "snare"),
    "low_tom": ("mid_tom", "high_tom"),
    "mid_tom": ("high_tom", "low_tom"),
    "high_tom": ("mid_tom", "low_tom"),
    "pedal_hat": ("closed_hat",),
    "open_hat": ("closed_hat",),
    "crash": ("splash", "china", "ride"),
    "ride": ("bell", "closed_hat"),
    "china": ("crash", "splash"),
    "bell": ("ride",),
    "splash": ("crash",),
    "shaker": ("closed_hat",),
}
"""Replacements for parts that a kit lacks, best first."""
NEEDED = ("kick", "snare", "closed_hat")
CHOKE_S = 0.03
"""Time in which an open hat decays when the hat is closed."""
SPREAD_DB = 0.8
"""Standard deviation of the level of hits: no drummer plays two hits equally loud."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A hit for a range of loudness.

    Attributes:
        audio: ``(2, samples)``.
        low: lowest loudness.
        high: highest loudness.
    """

    audio: Audio
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True, slots=True)
class Kit:
    """Hits by part.

    Attributes:
        parts: layers by a key of :data:`ROLES`, each with at least one.
    """

    parts: Mapping[str, tuple[Layer, ...]]

    def part(self, key: int) -> str | None:
        """The part that plays a note of the drum channel; None if the kit has none."""
        role = next((role for role, keys in ROLES.items() if key in keys), None)
        choices = () if role is None else (role, *INSTEAD.get(role, ()))
        return next((choice for choice in choices if choice in self.parts), None)


def play(rng: np.random.Generator, kit: Kit, notes: Sequence[Note], samples: int) -> Audio:
    """Play notes of the drum channel, ``(2, samples)``."""
    wide = {part: float(rng.uniform(-0.6, 0.6)) for part in ROLES}
    wide |= {"kick": 0.0, "snare": 0.0}
    closed_s = [note.start_s for note in notes if kit.part(note.key) in ("closed_hat", "pedal_hat")]
    result = np.zeros((2, samples))
    for note in notes:
        level_db = SPREAD_DB * float(rng.standard_normal())
        part = kit.part(note.key)
        start = round(note.start_s * RATE_HZ)
        if part is None or start >= samples:
            continue
        hit = _hit(kit.parts[part], note.loudness) * 10 ** (level_db / 20)
        if part == "open_hat":
            hit = _choked(
                hit, min((s - note.start_s for s in closed_s if s > note.start_s), default=9)
            )
        piece = _balanced(hit, wide[part])[:, : samples - start]
        result[:, start : start + piece.shape[1]] += piece
    return result


def _hit(layers: Sequence[Layer], loudness: float) -> Audio:
    """The hit for a loudness, ``(2, samples)``, scaled to it within its layer."""
    fitting = [layer for layer in layers if layer.low <= loudness <= layer.high]
    layer = fitting[0] if fitting else min(layers, key=lambda each: abs(each.high - loudness))
    steepness = 1.5 if len(layers) == 1 else 0.6
    result: Audio = layer.audio * loudness**steepness
    return result


def _choked(hit: Audio, after_s: float) -> Audio:
    """End a hit, ``(2, samples)``, after a time."""
    end = round((after_s + CHOKE_S) * RATE_HZ)
    return hit if end >= hit.shape[1] else faded(hit[:, :end], CHOKE_S)


def _balanced(hit: Audio, pan: float) -> Audio:
    """Pan a hit, ``(2, samples)``, by attenuating one channel."""
    gains = np.array([[min(1.0, 1 - pan)], [min(1.0, 1 + pan)]])
    result: Audio = hit * gains
    return result
