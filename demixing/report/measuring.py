"""One pass over the blocks of a track: its outline, level, picture and compressed sound."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass

import numpy as np

from demixing.evaluation.scoring import level_dbfs
from demixing.report import picture, spectrogram
from demixing.report.opus import KBIT_S, Encoder
from demixing.report.peaks import Outline, Peaks
from demixing.report.seconds import Second, song_sdr_db
from demixing.report.sounds import Block, Sound
from demixing.report.spectrogram import Spectrogram

MOST_SOUND_S = 600
"""Browsers decode a track as a whole: ten minutes are 230 MB of memory for each."""

Plain = dict[str, object]
"""Values for JSON."""

Part = dict[str, dict[str, str]]
"""What is loaded when it is needed: by the track's key, its sound and perhaps its picture, both in
base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One row of the player.

    Attributes:
        key: unique in its view.
        role: ``mixture``, ``reference``, ``estimate`` or ``error``; decides its colour.
        name: shown.
        system: index of the recipe that made it; None for the mixture and references.
    """

    key: str
    role: str
    name: str
    system: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A track and all that is known of it.

    Attributes:
        track: the track.
        outline: of its waveform.
        level_dbfs: RMS over all samples and channels; -inf for silence.
        sound: an Ogg file.
        image: a PNG; None if there is no picture.
        description: of the picture, in words.
    """

    track: Track
    outline: Outline
    level_dbfs: float
    sound: bytes
    image: bytes | None
    description: str

    def plain(self) -> Plain:
        """Values for the page."""
        found: Plain = {"key": self.track.key, "role": self.track.role, "name": self.track.name}
        found |= {"system": self.track.system, "level": decimals(self.level_dbfs)}
        return found | self.outline.plain() | {"description": self.description}

    def part(self) -> dict[str, str]:
        """Sound and picture in base64."""
        pictures = {} if self.image is None else {"picture": _text(self.image)}
        return {"sound": _text(self.sound), **pictures}


class Meter:
    """Measures a track that arrives in blocks.

    Args:
        track: the track.
        like: a sound of the same rate, channels and length.
        pictured: whether it has a spectrogram.
        kbit_s: bit rate of the compressed sound.
    """

    def __init__(
        self, track: Track, like: Sound, *, pictured: bool = False, kbit_s: int = KBIT_S
    ) -> None:
        self._track = track
        self._rate_hz = like.rate_hz
        self._peaks = Peaks(like.samples)
        self._encoder = Encoder(like.rate_hz, like.channels, kbit_s)
        form = like.rate_hz, like.samples, like.channels
        self._spectrogram = Spectrogram(*form) if pictured else None
        self._playable = MOST_SOUND_S * like.rate_hz
        self._energy = 0.0
        self._values = 0

    def push(self, block: Block) -> None:
        """Add the next block."""
        self._peaks.push(block)
        self._encoder.push(block[: self._playable])
        self._playable = max(self._playable - len(block), 0)
        self._energy += float(np.square(block).sum())
        self._values += block.size
        if self._spectrogram is not None:
            self._spectrogram.push(block)

    def finish(self) -> Measured:
        """All that was measured."""
        image, said = None, ""
        if self._spectrogram is not None:
            levels_db = self._spectrogram.finish()
            image, said = (
                picture.png(levels_db),
                spectrogram.description(levels_db, self._rate_hz),
            )
        level = level_dbfs(self._energy / max(self._values, 1))
        return Measured(
            self._track, self._peaks.finish(), level, self._encoder.finish(), image, said
        )


def measured(track: Track, sound: Sound, kbit_s: int = KBIT_S) -> Measured:
    """Measure a track alone, without a picture."""
    meter = Meter(track, sound, kbit_s=kbit_s)
    for block in sound.blocks():
        meter.push(block)
    return meter.finish()


def chart(seconds: list[Second], name: str, system: int | None) -> Plain:
    """The SDR of each second, for the page.

    Args:
        seconds: of a stem.
        name: shown.
        system: index of the recipe.
    """
    total = math.fsum(one.distortion for one in seconds) or 1.0
    return {
        "name": name,
        "system": system,
        "sdr": decimals(song_sdr_db(seconds)),
        "db": [decimals(one.sdr_db) for one in seconds],
        "share": [round(one.distortion / total, 4) for one in seconds],
        "silent": [place for place, one in enumerate(seconds) if one.silent],
    }


def decimals(number: float) -> float | None:
    """A number in dB for JSON, which has no infinity."""
    return round(number, 3) if math.isfinite(number) else None


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
