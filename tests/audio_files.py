"""Audio files of many formats, and damage to them, for the tests of reading.

PyAV and libsndfile encode them, so no test needs another program. What damage does to which bytes
follows from a seed.
"""

import io
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

RATE_HZ = 44_100

Audio = NDArray[np.float32]
Damage = Callable[[bytes, np.random.Generator], bytes]

SNDFILE: dict[str, tuple[str, str]] = {
    "u8.wav": ("WAV", "PCM_U8"),
    "16.wav": ("WAV", "PCM_16"),
    "24.wav": ("WAV", "PCM_24"),
    "32.wav": ("WAV", "PCM_32"),
    "float.wav": ("WAV", "FLOAT"),
    "double.wav": ("WAV", "DOUBLE"),
    "alaw.wav": ("WAV", "ALAW"),
    "ulaw.wav": ("WAV", "ULAW"),
    "wavex.wav": ("WAVEX", "PCM_16"),
    "rf64.wav": ("RF64", "PCM_16"),
    "16.w64": ("W64", "PCM_16"),
    "16.aiff": ("AIFF", "PCM_16"),
    "24.aiff": ("AIFF", "PCM_24"),
    "16.au": ("AU", "PCM_16"),
    "16.caf": ("CAF", "PCM_16"),
    "16.flac": ("FLAC", "PCM_16"),
    "24.flac": ("FLAC", "PCM_24"),
    "vorbis.ogg": ("OGG", "VORBIS"),
    "48.opus": ("OGG", "OPUS"),
    "vbr.mp3": ("MP3", "MPEG_LAYER_III"),
}
"""Container and encoding of files that libsndfile writes."""

LIBAV: dict[str, tuple[str, str]] = {
    "aac.m4a": ("ipod", "aac"),
    "alac.m4a": ("ipod", "alac"),
    "aac.mp4": ("mp4", "aac"),
    "flac.mp4": ("mp4", "flac"),
    "pcm.mov": ("mov", "pcm_s16le"),
    "aac.mkv": ("matroska", "aac"),
    "flac.mkv": ("matroska", "flac"),
    "opus.webm": ("webm", "libopus"),
    "16.wma": ("asf", "wmav2"),
    "aac.aac": ("adts", "aac"),
    "16.ac3": ("ac3", "ac3"),
    "16.eac3": ("eac3", "eac3"),
    "flac.oga": ("ogg", "flac"),
    "16.wv": ("wv", "wavpack"),
    "16.tta": ("tta", "tta"),
    "mp2.ts": ("mpegts", "mp2"),
    "16.mp2": ("mp2", "mp2"),
    "pcm.avi": ("avi", "pcm_s16le"),
    "bare.mp3": ("mp3", "libmp3lame"),
}
"""Container and encoder of files that FFmpeg's libraries write."""

FORMS = {"wavpack": "s16p", "tta": "s16"}
"""Sample formats of encoders that choose 8 bits by themselves."""

LOSSLESS = {
    *(name for name, (_, encoding) in SNDFILE.items() if encoding.startswith(("PCM", "FLOAT"))),
    *("alac.m4a", "flac.mp4", "pcm.mov", "flac.mkv", "flac.oga", "16.wv", "16.tta", "pcm.avi"),
}


def song(rng: np.random.Generator, seconds: float = 1.0, channels: int = 2) -> Audio:
    """A tone with noise, ``(samples, channels)``, of 16 bits, so that no format rounds it."""
    time_s = np.arange(round(seconds * RATE_HZ))[:, None] / RATE_HZ
    tones = 0.3 * np.sin(2 * np.pi * 440 * (1 + np.arange(channels)) * time_s)
    noisy = tones + 0.05 * rng.standard_normal(tones.shape)
    return (np.round(noisy * 2**15) / 2**15).astype(np.float32)


def encoded(name: str, audio: Audio) -> bytes:
    """A file of one of the formats above."""
    if name in SNDFILE:
        container, encoding = SNDFILE[name]
        file = io.BytesIO()
        rate_hz = 48_000 if encoding == "OPUS" else RATE_HZ
        soundfile.write(file, audio, rate_hz, format=container, subtype=encoding)
        return file.getvalue()
    container, encoder = LIBAV[name]
    options = {"write_xing": "0"} if name == "bare.mp3" else {}
    return film([audio], container, encoder, options=options)


def film(
    streams: list[Audio],
    container: str,
    encoder: str,
    *,
    languages: tuple[str, ...] = (),
    options: dict[str, str] | None = None,
    starts_s: tuple[tuple[float, float], ...] = (),
    layout: str = "stereo",
    quality: int | None = None,
) -> bytes:
    """A media file with any number of audio streams.

    Args:
        streams: samples of each stream.
        container: FFmpeg's name.
        encoder: FFmpeg's name.
        languages: of the streams.
        options: of the container.
        starts_s: from each first position on, stamps are later by the second number.
        layout: of the channels.
        quality: of a variable bit rate.
    """
    file = io.BytesIO()
    rate_hz = 48_000 if "opus" in encoder else RATE_HZ
    with av.open(file, "w", format=container, options=options or {}) as output:
        written = [output.add_stream(encoder, rate=rate_hz, layout=layout) for _ in streams]
        for stream in written:
            coder: Any = stream.codec_context
            coder.bit_rate = 160_000
            if quality is not None:
                coder.flags |= 2  # AV_CODEC_FLAG_QSCALE
                coder.qscale = quality
            if encoder in FORMS:
                coder.format = FORMS[encoder]
        for stream, language in zip(written, languages, strict=False):
            stream.metadata["language"] = language
        for stream, audio in zip(written, streams, strict=True):
            _encode(output, stream, audio, starts_s)
    return file.getvalue()


def _encode(
    output: Any, stream: Any, audio: Audio, starts_s: tuple[tuple[float, float], ...]
) -> None:
    """Encode one stream."""
    rate_hz = stream.rate
    size = stream.codec_context.frame_size or 1024
    form = stream.codec_context.format.name
    converter = av.AudioResampler(format=form, layout=stream.layout, rate=rate_hz)
    for start in range(0, len(audio), size):
        block = np.ascontiguousarray(audio[start : start + size].reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout=stream.layout)
        later_s = sum(gap for at, gap in starts_s if start / rate_hz >= at)
        frame.sample_rate, frame.time_base = rate_hz, Fraction(1, rate_hz)
        frame.pts = start + round(later_s * rate_hz)
        for ready in converter.resample(frame):
            output.mux(stream.encode(ready))
    output.mux(stream.encode(None))


def truncated(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(len(data) * rng.uniform(0.3, 0.9))]


def noisy(data: bytes, rng: np.random.Generator) -> bytes:
    """2000 random bytes in the middle."""
    at = _middle(data, rng)
    return data[:at] + rng.bytes(2000) + data[at + 2000 :]


def zeroed(data: bytes, rng: np.random.Generator) -> bytes:
    at = _middle(data, rng)
    return data[:at] + bytes(3000) + data[at + 3000 :]


def removed(data: bytes, rng: np.random.Generator) -> bytes:
    at = _middle(data, rng)
    return data[:at] + data[at + 2001 :]


def inserted(data: bytes, rng: np.random.Generator) -> bytes:
    at = _middle(data, rng)
    return data[:at] + rng.bytes(1999) + data[at:]


def repeated(data: bytes, rng: np.random.Generator) -> bytes:
    at = _middle(data, rng)
    return data[: at + 3000] + data[at:]


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    """Ten bits."""
    damaged = bytearray(data)
    for at in rng.integers(len(data) // 4, len(data), size=10):
        damaged[at] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def joined(data: bytes, rng: np.random.Generator) -> bytes:
    return data + data


def with_junk(data: bytes, rng: np.random.Generator) -> bytes:
    return data + rng.bytes(100_000)


def with_zeros(data: bytes, rng: np.random.Generator) -> bytes:
    return data + bytes(100_000)


def with_tag(data: bytes, rng: np.random.Generator) -> bytes:
    return data + b"TAG" + b"a song".ljust(125, b"\0")


def after_tag(data: bytes, rng: np.random.Generator) -> bytes:
    return b"ID3\4\0\0\0\0\x10\0" + bytes(2048) + data


def after_junk(data: bytes, rng: np.random.Generator) -> bytes:
    return rng.bytes(300) + data


def only_head(data: bytes, rng: np.random.Generator) -> bytes:
    return data[:200]


DAMAGES: dict[str, Damage] = {
    damage.__name__: damage
    for damage in (
        *(truncated, noisy, zeroed, removed, inserted, repeated, flipped, joined, with_junk),
        *(with_zeros, with_tag, after_tag, after_junk, only_head),
    )
}
"""Damage that any file can have."""


def _middle(data: bytes, rng: np.random.Generator) -> int:
    return int(len(data) * rng.uniform(0.4, 0.6))


def sized(name: str, size: int) -> Damage:
    """Write a size into the chunk or header field of a name."""

    def damage(data: bytes, rng: np.random.Generator) -> bytes:
        at = data.index(name.encode()) + 4
        order = ">" if name in ("SSND", "FORM", ".snd") else "<"
        if name == "ds64":  # the sizes of the file and of the audio, and the number of samples
            return data[: at + 4] + struct.pack("<3Q", *[size] * 3) + data[at + 28 :]
        if name == ".snd":
            at += 4
        return data[:at] + struct.pack(f"{order}I", size) + data[at + 4 :]

    return damage


def oracle(path: Path, channels: int) -> Audio:
    """What the program ffmpeg decodes, ``(samples, channels)``."""
    import subprocess

    done = subprocess.run(
        ["ffmpeg", "-v", "quiet", "-i", path, "-map", "0:a:0", "-f", "f32le", "-"],
        capture_output=True,
        check=False,
    )
    samples = np.frombuffer(done.stdout[: len(done.stdout) // 4 * 4], dtype="<f4")
    return samples[: len(samples) // channels * channels].reshape(-1, channels)
