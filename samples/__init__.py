"""Real music and film sound to try the package on; ``evaluate_locally.py`` uses it by default."""

import hashlib
import importlib.metadata
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from demixing import atomic
from demixing.audio import headers
from demixing.errors import CheckpointError, OutputError

HERE = Path(__file__).parent

FALCON = "The Easton Ellises - Falcon 69"
FALCON_SHA256 = "874a2552f4d6e2421789e9816f0db58337e97e20539579e34a6100029e3cde5d"
FALCON_STEMS = {"drums": 1, "bass": 2, "other": 3, "vocals": 4}
"""Audio streams of the file. Stream 0 is a mastered mixture, not the sum of the stems."""


def folder(track: str, cache: Path) -> Path:
    """A folder of songs of one track, with their true stems.

    Args:
        track: ``mdx`` or ``cdx``.
        cache: folder for decoded audio.

    Raises:
        CheckpointError: the package that contains the music is missing or altered.
        OutputError: the cache cannot be written.
    """
    if track == "cdx":
        return HERE / "cdx"
    source = falcon()
    song = cache / FALCON
    try:
        song.mkdir(parents=True, exist_ok=True)
        for stem, stream in FALCON_STEMS.items():
            audio, rate_hz = decoded(source, stream)
            with atomic.file(song / f"{stem}.wav") as unfinished:
                soundfile.write(unfinished, audio, rate_hz, subtype="FLOAT")
                headers.clear_peak_time(unfinished)
    except (OSError, soundfile.LibsndfileError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write the music sample to {song}: {reason}") from error
    return cache


def falcon() -> Path:
    """Path of the real multitrack that comes with the package stempeg.

    Raises:
        CheckpointError: the package is not installed, or its file was altered.
    """
    install = "run: pip install --requirement requirements.txt"
    try:
        distribution = importlib.metadata.distribution("stempeg")
    except importlib.metadata.PackageNotFoundError as error:
        raise CheckpointError(
            f"the music sample comes with the package stempeg, which is not installed; {install}"
        ) from error
    path = Path(str(distribution.locate_file(f"stempeg/data/{FALCON}.stem.mp4")))
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != FALCON_SHA256:
        raise CheckpointError(f"expected the music sample of stempeg 0.2.6 at {path}; {install}")
    return path


def decoded(path: Path, stream: int) -> tuple[NDArray[np.float32], int]:
    """Decode one audio stream of a file with FFmpeg's libraries, which come with PyAV.

    Args:
        path: media file.
        stream: index among its audio streams.

    Returns:
        Audio, ``(samples, channels)``, full scale at ±1, and the sample rate in Hz.
    """
    with av.open(str(path)) as container:
        audio = container.streams.audio[stream]
        frames = [frame.to_ndarray() for frame in container.decode(audio)]
        return np.concatenate(frames, axis=1, dtype=np.float32).T, audio.rate
