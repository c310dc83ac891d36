"""Build the film-like clips of ``samples/cdx`` from unpacked Debian packages.

    python tools/build_cdx_samples.py UNPACKED_DIR samples/cdx

``UNPACKED_DIR`` has one folder per package of ``samples/README.md``, made with
``dpkg-deb -x FILE.deb UNPACKED_DIR/PACKAGE``. A clip is a folder with a ``clip.toml``; its
stems are written beside it. The same packages give the same bytes.

Conventions
-----------
A piece is float64 ``(samples,)``, a stem ``(2, samples)``, full scale at ±1, at 44.1 kHz.
The mixture is the sum of the stems and is not written.
"""

import argparse
import io
import math
import struct
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

Audio = NDArray[np.float64]

RATE_HZ = 44_100
STEMS = ("dialog", "effect", "music")
FADE_S = 0.01
"""On both ends of every piece; shorter than a plosive, long enough not to click."""
OVERLAP_S = 0.4
"""Cross-fade between the takes of a bed."""
BLEED = 0.5
"""How much of one channel's bed is in the other; without any, low rumble sounds out of phase."""
HIGH_PASS_HZ = 30.0
"""Some sources have a constant offset, which nobody hears but which scores."""
PEAK_LIMIT = 0.98
BITS = 13
"""Of the 16 in the files: a third fewer bytes, for a noise of rounding 50 dB below the stems."""
ASTERISK = "asterisk-core-sounds-en-g722/usr/share/asterisk/sounds/en_US_f_Allison"
MINETEST = "minetest-data/usr/share/games/minetest/games/minetest_game/mods"
PACKAGES = {
    "asterisk": (ASTERISK, ".g722"),
    "hedgewars": ("hedgewars-data/usr/share/games/hedgewars/Data/Sounds/voices", ".ogg"),
    "minetest": (MINETEST, ".ogg"),
    "opensfx": ("openttd-opensfx/usr/share/games/openttd/baseset/opensfx/opensfx", ".cat"),
    "singularity": ("singularity-music/usr/share/games/singularity/music", ".ogg"),
}
"""Where the sounds of a package lie in the folder of unpacked packages, and how they end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """A part of one source at its place in a clip.

    Attributes:
        source: ``package:name`` with a key of :data:`PACKAGES`; OpenSFX has numbers as names.
        level_db: its :func:`active_level_db` in the clip.
        start_s: where the part starts in the source.
        stop_s: where it ends there.
        at_s: where it starts in the clip.
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
    """Everything that is heard in one clip.

    Attributes:
        duration_s: length of all its stems.
        lines: speech; none gives an exactly silent dialog stem.
        events: single sounds of the effect stem.
        bed_left: takes that are chained and repeated in the left channel of the effect stem.
        bed_right: the same for the right channel; other takes make the ambience wide.
        music: the only sound that stays stereo.
    """

    duration_s: float
    lines: tuple[Sound, ...]
    events: tuple[Sound, ...]
    bed_left: tuple[Sound, ...]
    bed_right: tuple[Sound, ...]
    music: Sound


def load_clip(path: Path) -> Clip:
    """Read a clip; an unknown key is a TypeError."""
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


def read_opensfx(path: Path, number: int) -> tuple[Audio, int]:
    """Read one sound of an OpenTTD sound catalogue as ``(samples, channels)``, and its rate.

    The file starts with an offset and a size per sound. At the offset are the length of the
    sound's name in one byte, the name and a WAV file.
    """
    catalogue = path.read_bytes()
    offset, _ = struct.unpack_from("<II", catalogue, 8 * number)
    offset &= 0x7FFF_FFFF  # the top bit tells that names are present
    start = offset + 1 + catalogue[offset]
    wav_bytes = 8 + struct.unpack_from("<I", catalogue, start + 4)[0]
    wav = io.BytesIO(catalogue[start : start + wav_bytes])
    audio, rate_hz = soundfile.read(wav, always_2d=True)
    return audio, rate_hz


def read_g722(path: Path) -> tuple[Audio, int]:
    """Decode mono G.722, which libsndfile cannot, as ``(samples, 1)``, and its rate."""
    with av.open(str(path), format="g722") as file:
        blocks = [frame.to_ndarray().reshape(-1, 1) for frame in file.decode(audio=0)]
        audio: Audio = np.concatenate(blocks).astype(np.float64) / 2**15
        return audio, file.streams.audio[0].rate


def read(unpacked: Path, sound: Sound) -> Audio:
    """Read the part of a source that is used, ``(channels, samples)`` at its level."""
    package, name = sound.source.split(":")
    folder, suffix = PACKAGES[package]
    if suffix == ".cat":
        audio, rate_hz = read_opensfx(unpacked / f"{folder}{suffix}", int(name))
    elif suffix == ".g722":
        audio, rate_hz = read_g722(unpacked / folder / f"{name}{suffix}")
    else:
        audio, rate_hz = soundfile.read(unpacked / folder / f"{name}{suffix}", always_2d=True)
    stop = round(min(sound.stop_s * rate_hz, len(audio)))
    part = audio[round(sound.start_s * rate_hz) : stop]
    resampled = soxr.resample(part, rate_hz, RATE_HZ, quality="VHQ").T
    filtered = high_pass(resampled, HIGH_PASS_HZ)
    level: Audio = filtered * 10 ** ((sound.level_db - active_level_db(filtered)) / 20)
    return level


def high_pass(audio: Audio, cutoff_hz: float) -> Audio:
    """Remove what is below half the cutoff and keep what is above the cutoff.

    >>> tone, middle = np.sin(np.arange(RATE_HZ) / 16), slice(10_000, -10_000)
    >>> bool(np.allclose(high_pass(tone + 0.3, 30.0)[middle], tone[middle], atol=1e-3))
    True
    """
    samples = audio.shape[-1]
    size = samples + RATE_HZ // 4  # room for the filter to ring without wrapping around
    centred = audio - audio.mean(axis=-1, keepdims=True)
    hz = np.fft.rfftfreq(size, 1 / RATE_HZ)
    gain = np.sin(np.pi / 2 * np.clip(2 * hz / cutoff_hz - 1, 0, 1)) ** 2
    filtered: Audio = np.fft.irfft(np.fft.rfft(centred, size) * gain, size)[..., :samples]
    return filtered


def active_level_db(audio: Audio) -> float:
    """RMS in dB over the blocks of about 50 ms that are within 20 dB of the loudest block.

    >>> round(active_level_db(np.concatenate([np.full(44_100, 0.1), np.zeros(44_100)])))
    -20
    """
    blocks = np.array_split(audio, max(1, audio.shape[-1] * 20 // RATE_HZ), axis=-1)
    powers = np.array([np.mean(block**2) for block in blocks])
    return 10 * math.log10(powers[powers >= powers.max() / 100].mean())


def faded(audio: Audio, fade_s: float) -> Audio:
    """Fade in and out; two such fades that overlap have constant power.

    >>> ends = faded(np.ones(RATE_HZ), 0.01) ** 2
    >>> bool(np.allclose(ends[:441] + ends[-441:], 1))
    True
    """
    samples = round(fade_s * RATE_HZ)
    ramp = np.sin(np.pi / 2 * (np.arange(samples) + 0.5) / samples)
    result = audio.copy()
    result[..., :samples] *= ramp
    result[..., -samples:] *= ramp[::-1]
    return result


def placed(unpacked: Path, sounds: Sequence[Sound], samples: int) -> Audio:
    """Sum sounds, made mono, at their places.

    Returns:
        ``(2, samples)``.

    Raises:
        ValueError: the end of the clip would cut a sound off.
    """
    stem = np.zeros((2, samples))
    for sound in sounds:
        piece = faded(read(unpacked, sound).mean(axis=0), FADE_S)
        start = round(sound.at_s * RATE_HZ)
        if start + len(piece) > samples:
            raise ValueError(f"{sound.source} ends after its clip: lower its at_s or its stop_s")
        angle = (sound.pan + 1) * math.pi / 4
        gains = math.sqrt(2) * np.array([[math.cos(angle)], [math.sin(angle)]])
        stem[:, start : start + len(piece)] += gains * piece
    return stem


def chained(unpacked: Path, takes: Sequence[Sound], samples: int) -> Audio:
    """Repeat takes in turn, made mono and cross-faded, until they fill ``(samples,)``."""
    pieces = [faded(read(unpacked, take).mean(axis=0), OVERLAP_S) for take in takes]
    overlap = round(OVERLAP_S * RATE_HZ)
    channel = np.zeros(samples + 2 * overlap + max(map(len, pieces)))
    start, turn = 0, 0
    while start < samples + overlap:
        piece = pieces[turn % len(pieces)]
        channel[start : start + len(piece)] += piece
        start += len(piece) - overlap
        turn += 1
    return channel[overlap : overlap + samples]  # without the first take's fade-in


def build(unpacked: Path, path: Path) -> Audio:
    """Make the stems of one clip.

    Returns:
        ``(3, 2, samples)`` in the order of :data:`STEMS`, already rounded to :data:`BITS`.

    Raises:
        ValueError: the mixture would come too near to full scale.
    """
    clip = load_clip(path)
    samples = round(clip.duration_s * RATE_HZ)
    bed = [chained(unpacked, takes, samples) for takes in (clip.bed_left, clip.bed_right)]
    bleed = np.array([[1, BLEED], [BLEED, 1]]) / math.hypot(1, BLEED)
    effect = bleed @ np.stack(bed) + placed(unpacked, clip.events, samples)
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
        for name, stem in zip(STEMS, stems, strict=True):
            flac = path.with_name(f"{name}.flac")
            soundfile.write(flac, stem.T, RATE_HZ, subtype="PCM_16", compression_level=1.0)
        print(f"{path.parent.name}: peak of the mixture {np.abs(stems.sum(axis=0)).max():.2f}")


if __name__ == "__main__":
    main()
