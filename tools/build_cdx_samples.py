"""Build the film-like clips of ``samples/cdx`` from unpacked Debian packages.

    python tools/build_cdx_samples.py UNPACKED_DIR samples/cdx

``UNPACKED_DIR`` has one folder per package of ``samples/README.md``, made with ``dpkg-deb -x
FILE.deb UNPACKED_DIR/PACKAGE``. A clip is a folder with a ``clip.toml``; its stems are written next
to that file. The same packages give the same bytes.
"""

import argparse
import math
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demixing.rendering.film import audio as film_audio
from demixing.rendering.film.audio import FADE_S, RATE_HZ, Audio, faded
from demixing.rendering.film.files import Recording

PEAK_LIMIT = 0.98
BITS = 13
"""Used bits of 16: files are a third smaller, with rounding noise 50 dB below the stems."""
ASTERISK = "asterisk-core-sounds-en-g722/usr/share/asterisk/sounds/en_US_f_Allison"
MINETEST = "minetest-data/usr/share/games/minetest/games/minetest_game/mods"
PACKAGES = {
    "asterisk": (ASTERISK, ".g722"),
    "hedgewars": ("hedgewars-data/usr/share/games/hedgewars/Data/Sounds/voices", ".ogg"),
    "minetest": (MINETEST, ".ogg"),
    "opensfx": ("openttd-opensfx/usr/share/games/openttd/baseset/opensfx/opensfx", ".cat"),
    "singularity": ("singularity-music/usr/share/games/singularity/music", ".ogg"),
}
"""Path of the sounds of a package below the folder of packages, and their suffix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """An excerpt of a source at a position in a clip.

    Attributes:
        source: ``package:name`` with a key of :data:`PACKAGES`; OpenSFX has numbers as names.
        level_db: its :func:`active_level_db` in the clip.
        start_s: start of the excerpt in the source.
        stop_s: end of the excerpt in the source.
        at_s: start in the clip.
        pan: -1 is left, 1 is right.
    """

    source: str
    level_db: float
    start_s: float = 0.0
    stop_s: float = math.inf
    at_s: float = 0.0
    pan: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """All sounds of a clip.

    Attributes:
        duration_s: length of all its stems.
        lines: speech; without any, the dialog stem is silent.
        events: single sounds of the effect stem.
        bed_left: takes chained and repeated in the left channel of the effect stem.
        bed_right: the same for the right channel; different takes make the ambience wide.
        music: the only stereo sound.
    """

    duration_s: float
    lines: tuple[Sound, ...]
    events: tuple[Sound, ...]
    bed_left: tuple[Sound, ...]
    bed_right: tuple[Sound, ...]
    music: Sound


def load_clip(path: Path) -> Clip:
    """Read a clip.

    Raises:
        TypeError: it has an unknown key.
    """
    with path.open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)

    def sounds(name: str) -> tuple[Sound, ...]:
        return tuple(Sound(**sound) for sound in table.pop(name, []))

    return Clip(
        lines=sounds("lines"),
        events=sounds("events"),
        bed_left=sounds("bed_left"),
        bed_right=sounds("bed_right"),
        music=Sound(**table.pop("music")),
        **table,
    )


def read(unpacked: Path, sound: Sound) -> Audio:
    """Read the excerpt of a source at its level, ``(channels, samples)``."""
    package, name = sound.source.split(":")
    folder, suffix = PACKAGES[package]
    if suffix == ".cat":
        recording = Recording(unpacked / f"{folder}{suffix}", name)
    else:
        recording = Recording(unpacked / folder / f"{name}{suffix}")
    part, rate_hz = recording.read(sound.start_s, sound.stop_s)
    return film_audio.at_level(film_audio.resampled(part, rate_hz), sound.level_db)


def placed(unpacked: Path, sounds: Sequence[Sound], samples: int) -> Audio:
    """Sum sounds, in mono, at their positions.

    Returns:
        ``(2, samples)``.

    Raises:
        ValueError: a sound ends after the clip.
    """
    stem = np.zeros((2, samples))
    for sound in sounds:
        piece = faded(read(unpacked, sound).mean(axis=0), FADE_S)
        start = round(sound.at_s * RATE_HZ)
        if start + len(piece) > samples:
            raise ValueError(f"{sound.source} ends after its clip: lower its at_s or its stop_s")
        stem[:, start : start + len(piece)] += film_audio.panned(piece, sound.pan)
    return stem


def bed(unpacked: Path, takes: Sequence[Sound], samples: int) -> Audio:
    """Chain takes, in mono, to fill ``(samples,)``."""
    return film_audio.chained([read(unpacked, take).mean(axis=0) for take in takes], samples)


def build(unpacked: Path, path: Path) -> Audio:
    """Make the stems of one clip.

    Returns:
        ``(3, 2, samples)`` in the order of the stems, rounded to :data:`BITS`.

    Raises:
        ValueError: the mixture is too close to full scale.
    """
    clip = load_clip(path)
    samples = round(clip.duration_s * RATE_HZ)
    left, right = (bed(unpacked, takes, samples) for takes in (clip.bed_left, clip.bed_right))
    effect = film_audio.widened(left, right) + placed(unpacked, clip.events, samples)
    music = read(unpacked, clip.music)[:, :samples]
    dialog = placed(unpacked, clip.lines, samples)
    stems = faded(np.stack([dialog, effect, music]), 2 * FADE_S)
    rounded: Audio = np.round(stems * 2 ** (BITS - 1)) / 2 ** (BITS - 1)
    peak = np.abs(rounded.sum(axis=0)).max()
    if peak >= PEAK_LIMIT:
        raise ValueError(f"{path}: the mixture peaks at {peak:.2f}; lower a level_db")
    return rounded


def main() -> None:
    """Write the stems of every clip."""
    parser = argparse.ArgumentParser(description="Build the clips of samples/cdx.")
    parser.add_argument("unpacked", type=Path, help="folder with one unpacked package per folder")
    parser.add_argument("clips", type=Path, help="folder of clips, each with a clip.toml")
    arguments = parser.parse_args()
    for path in sorted(arguments.clips.glob("*/clip.toml")):
        stems = build(arguments.unpacked, path)
        film_audio.write_stems(path.parent, stems)
        print(f"{path.parent.name}: peak of the mixture {np.abs(stems.sum(axis=0)).max():.2f}")


if __name__ == "__main__":
    main()
