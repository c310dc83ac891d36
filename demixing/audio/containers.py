"""Opens media files with FFmpeg's libraries, which come with PyAV, without trusting the files.

FFmpeg reads hundreds of formats. Some name other files or addresses, and each has a parser of its
own that a malicious file may attack. So files are opened by Python, FFmpeg may open nothing itself,
and only the formats and audio codecs below are tried. Pictures are never decoded.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from demixing.audio import headers
from demixing.errors import SongError

FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,dtshd,eac3,flac,flv,loas,matroska,"
    "mlp,mov,mp3,mpc,mpc8,mpeg,mpegts,mxf,nut,ogg,rm,shn,tak,truehd,tta,w64,"
    "wav,wv,dsf,iff,oma,voc"
)
"""FFmpeg's names of demuxers. None of them is a playlist."""

CODECS = (
    "aac,aac_latm,ac3,eac3,alac,als,ape,cook,dca,flac,mlp,truehd,mp1,mp1float,"
    "mp2,mp2float,mp3,mp3float,mp3adu,mp3adufloat,mpc7,mpc8,opus,libopus,vorbis,"
    "speex,shorten,tak,tta,wavpack,wmav1,wmav2,wmapro,wmalossless,wmavoice,amrnb,"
    "amrwb,libopencore_amrnb,libopencore_amrwb,atrac3,atrac3plus,dsd_lsbf,"
    "dsd_lsbf_planar,dsd_msbf,dsd_msbf_planar,gsm,gsm_ms,g722,g726,ilbc,nellymoser,"
    "qdm2,mace3,mace6,s302m,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_swf,adpcm_yamaha,"
    "pcm_alaw,pcm_mulaw,pcm_bluray,pcm_dvd,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,"
    "pcm_s16be,pcm_s16be_planar,pcm_s16le,pcm_s16le_planar,pcm_s24be,pcm_s24le,"
    "pcm_s24le_planar,pcm_s32be,pcm_s32le,pcm_s32le_planar,pcm_s8,pcm_s8_planar,pcm_u8,"
    "pcm_u16be,pcm_u16le,pcm_u24be,pcm_u24le,pcm_u32be,pcm_u32le,pcm_s64be,pcm_s64le"
)
"""FFmpeg's names of audio decoders."""

OPTIONS = {
    "format_whitelist": FORMATS,
    "codec_whitelist": CODECS,
    "protocol_whitelist": "none",  # FFmpeg opens nothing: files are read through Python
}

BUFFER_BYTES = 1 << 16
"""FFmpeg asks Python for this much at a time."""


class Source:
    """A file, or a part of one, that FFmpeg reads; remembers how far.

    Args:
        path: of the file.
        file: the same, open for reading.
        start: position of the part's first byte.
        stop: position after its last byte; by default the end of the file.
        magic: replaces the first bytes of the part.

    Attributes:
        furthest: position after the last byte that was read.
        name: what FFmpeg sees of the path: it recognises some formats by their suffix.
    """

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        start: int = 0,
        stop: int | None = None,
        magic: bytes = b"",
    ) -> None:
        self._file, self._start, self._magic = file, start, magic
        self._stop = file.seek(0, os.SEEK_END) if stop is None else stop
        self.furthest = start
        self.name = f"song{path.suffix}" if path.suffix.isascii() else "song"
        self.seek(0)

    def read(self, size: int) -> bytes:
        """Read at most ``size`` bytes."""
        position = self.tell()
        data = self._file.read(max(min(size, self._stop - self._file.tell()), 0))
        if position < len(self._magic):
            data = self._magic[position:][: len(data)] + data[len(self._magic) - position :]
        self.furthest = max(self.furthest, self._file.tell())
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move as :meth:`io.IOBase.seek` does; positions are counted from the part's start.

        Damaged files ask for absurd positions, which become the start or the end.
        """
        origin = {os.SEEK_SET: self._start, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._stop}
        position = min(max(origin[whence] + offset, self._start), self._stop)
        return self._file.seek(position) - self._start

    def tell(self) -> int:
        """The position, counted from the part's start."""
        return self._file.tell() - self._start

    def unread_bytes(self) -> int:
        """Bytes after the last one that was read; 0 if they are a tag or padding."""
        return headers.unread(self._file, self.furthest, self._stop)


@contextlib.contextmanager
def opened(
    path: Path, start: int = 0, stop: int | None = None, magic: bytes = b""
) -> Iterator[tuple[Any, Source]]:
    """Open a media file, or a part of one; see :class:`Source`.

    Yields:
        PyAV's container, and the file that it reads.

    Raises:
        SongError: its format is unknown or not among :data:`FORMATS`, its header is damaged, or the
            disk fails while it is open.
    """
    import av  # late: it takes a quarter of a second, and most songs are WAV or FLAC
    import av.logging

    av.logging.set_libav_level(av.logging.PANIC)  # what matters is raised, or said in a sentence
    with path.open("rb", buffering=0) as file:
        try:
            source = Source(path, file, start, stop, magic)
            with _container(path, source) as container:
                yield container, source
        except OSError as error:  # of the disk; for FFmpeg's own, see there
            raise SongError(f"cannot read {path}: {error.strerror or error}") from error


def _container(path: Path, source: Source) -> Any:
    """PyAV's container of a file.

    Raises:
        SongError: FFmpeg does not open it.
    """
    import av

    try:
        return av.open(
            source,
            container_options=OPTIONS,
            metadata_errors="replace",
            buffer_size=BUFFER_BYTES,
        )
    except av.FFmpegError as error:
        raise SongError(f"expected audio at {path}, but {_why(path, error)}") from error


def _why(path: Path, error: Exception) -> str:
    """Why FFmpeg does not open a file."""
    import av

    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp":
        return "its index is missing or damaged, as in a recording that was cut off"
    if head[:4] in (*headers.CONTAINERS, b"fLaC", b".snd"):
        return "its header is damaged or incomplete"
    if isinstance(error, av.EOFError):
        return "it ends before its first sample"
    return "its format is not recognised"


def chosen(container: Any, path: Path, stream: str | None) -> Any:
    """Choose an audio stream of a container: PyAV's stream.

    Args:
        container: of PyAV.
        path: for messages.
        stream: its number among the audio streams, from 1, or its language; by default the first.

    Raises:
        SongError: there is no such stream.
    """
    streams = container.streams.audio
    if not streams:
        raise SongError(f"expected audio at {path}, but it has no audio stream")
    if stream is None:
        return streams[0]
    for number, candidate in enumerate(streams, start=1):
        if stream.lower() in (str(number), language(candidate).lower()):
            return candidate
    listed = ", ".join(descriptions(container))
    raise SongError(f"expected the audio stream {stream} in {path}, found {listed}")


def language(stream: Any) -> str:
    """Language of a stream, three letters of ISO 639-2; empty if it is unknown."""
    found = str(stream.metadata.get("language", ""))
    return "" if found == "und" else found


def descriptions(container: Any) -> list[str]:
    """Number, language, channels and codec of each audio stream."""
    return [
        " ".join(filter(None, [str(number), language(stream), _layout(stream), _codec(stream)]))
        for number, stream in enumerate(container.streams.audio, start=1)
    ]


def _layout(stream: Any) -> str:
    """Channels of a stream, as FFmpeg names them; empty if they are unknown."""
    return str(stream.layout.name) if stream.codec_context and stream.channels else ""


def _codec(stream: Any) -> str:
    """Codec of a stream; empty if FFmpeg has no decoder."""
    return str(stream.codec_context.codec.canonical_name) if stream.codec_context else ""
