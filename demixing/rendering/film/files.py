"""Reads the recordings of games, in folders, archives and catalogues."""

import io
import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile

from demixing.rendering.film.audio import Audio

G722_BYTES_PER_S = 8000


@dataclass(frozen=True, slots=True, order=True)
class Recording:
    """The location of a recording.

    Attributes:
        path: an audio file, or an archive: ``.pk3`` (a zip) or ``.cat`` (OpenTTD's).
        member: name or number in an archive.
        package: name of the package that contains it.
    """

    path: Path
    member: str = ""
    package: str = ""

    @property
    def folder(self) -> Path:
        """Its folder: recordings of one folder share a voice or a place."""
        return (self.path / self.member).parent

    def duration_s(self) -> float:
        """Length in seconds, from the header."""
        if self.path.suffix == ".g722":
            return self.path.stat().st_size / G722_BYTES_PER_S
        return float(soundfile.info(self._file()).duration)

    def read(self, start_s: float = 0.0, stop_s: float = math.inf) -> tuple[Audio, int]:
        """Decode a part as ``(samples, channels)``, and the rate in Hz."""
        if self.path.suffix == ".g722":
            audio, rate_hz = read_g722(self.path)
            return audio[
                round(start_s * rate_hz) : round(min(stop_s * rate_hz, len(audio)))
            ], rate_hz
        with soundfile.SoundFile(self._file()) as file:
            start = file.seek(round(start_s * file.samplerate))
            stop = round(min(stop_s * file.samplerate, file.frames))
            return file.read(stop - start, always_2d=True), file.samplerate

    def _file(self) -> Path | io.BytesIO:
        """The recording in a form that soundfile can open."""
        if self.path.suffix == ".pk3":
            with zipfile.ZipFile(self.path) as archive:
                return io.BytesIO(archive.read(self.member))
        if self.path.suffix == ".cat":
            return wav_of_catalogue(self.path, int(self.member))
        return self.path


def wav_of_catalogue(path: Path, number: int) -> io.BytesIO:
    """Extract a WAV file from an OpenTTD sound catalogue.

    The catalogue starts with an offset and a size per sound. At the offset are the length of the
    sound's name in one byte, the name and a WAV file.
    """
    catalogue = path.read_bytes()
    offset, _ = struct.unpack_from("<II", catalogue, 8 * number)
    offset &= 0x7FFF_FFFF  # the top bit marks the presence of names
    start = offset + 1 + catalogue[offset]
    wav_bytes = 8 + struct.unpack_from("<I", catalogue, start + 4)[0]
    return io.BytesIO(catalogue[start : start + wav_bytes])


def count_of_catalogue(path: Path) -> int:
    """Number of sounds in an OpenTTD sound catalogue: the first comes after the table."""
    with path.open("rb") as file:
        (offset,) = struct.unpack("<I", file.read(4))
    return int(offset & 0x7FFF_FFFF) // 8


def read_g722(path: Path) -> tuple[Audio, int]:
    """Decode mono G.722, which libsndfile does not support: ``(samples, 1)``, and its rate."""
    with av.open(str(path), format="g722") as file:
        blocks = [frame.to_ndarray().reshape(-1, 1) for frame in file.decode(audio=0)]
        audio: Audio = np.concatenate(blocks).astype(np.float64) / 2**15
        return audio, file.streams.audio[0].rate


def find(folder: Path, pattern: str) -> list[Recording]:
    """Find recordings in the files of a folder, archives included; sorted."""
    found: list[Recording] = []
    for path in sorted(folder.glob(pattern)):
        if path.suffix == ".pk3":
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith((".ogg", ".wav"))]
            found.extend(Recording(path, name) for name in sorted(names))
        elif path.suffix == ".cat":
            found.extend(Recording(path, str(number)) for number in range(count_of_catalogue(path)))
        else:
            found.append(Recording(path))
    return found
