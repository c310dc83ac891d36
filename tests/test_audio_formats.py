"""Songs of all formats are read as FFmpeg plays them, and nothing else is opened for them."""

import functools
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from demixing.audio import containers
from demixing.audio.files import read_blocks, song_format
from demixing.errors import SongError
from tests import audio_files
from tests.audio_files import LIBAV, LOSSLESS, RATE_HZ, SNDFILE, Audio, film

NAMES = [*SNDFILE, *LIBAV]
FFMPEG = pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="compares with the program ffmpeg, which is missing"
)

Save = Callable[[str, bytes], Path]


@functools.lru_cache
def song() -> Audio:
    return audio_files.song(np.random.default_rng(1), 0.6)


@functools.lru_cache(maxsize=100)
def whole(name: str) -> bytes:
    """The song in one of the formats, undamaged."""
    return audio_files.encoded(name, song())


@pytest.fixture
def audio() -> Audio:
    return song()


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def read(path: Path, stream: str | None = None, frames: int = 5000) -> tuple[Audio, list[str]]:
    """Samples, ``(samples, channels)``, and warnings."""
    warnings: list[str] = []
    blocks = list(read_blocks(path, frames, stream=stream, warn=warnings.append))
    assert [block.shape[1] for block in blocks[:-1]] == [frames] * (len(blocks) - 1)
    assert all(block.dtype == torch.float32 for block in blocks)
    return torch.cat(blocks, dim=1).numpy().T, warnings


def agreement_db(found: Audio, expected: Audio) -> float:
    error = np.square(found.astype(float) - expected).sum()
    return float(10 * np.log10(np.square(expected.astype(float)).sum() / max(error, 1e-30)))


@pytest.mark.parametrize("name", NAMES)
def test_every_format_gives_back_what_was_encoded(name: str, audio: Audio, save: Save) -> None:
    path = save(name, whole(name))

    found, warnings = read(path)

    assert not warnings
    form = song_format(path)
    assert form.sample_rate_hz == (48_000 if "opus" in name else RATE_HZ)
    assert form.channels == 2
    assert abs(form.frames - len(found)) <= 2500  # encoder delay and padding
    if name in LOSSLESS - {"u8.wav"}:
        assert np.array_equal(found, audio)
        assert form.frames == len(audio)
    else:
        assert len(found) >= 0.9 * len(audio)  # FFmpeg drops the last frame of WMA
        spectrum = np.abs(np.fft.rfft(found[2000:24_000, 0]))
        assert spectrum.argmax() * RATE_HZ / 22_000 == pytest.approx(440, abs=5)


@FFMPEG
@pytest.mark.parametrize("name", [name for name in NAMES if name != "aac.mkv"])
def test_every_format_is_read_as_ffmpeg_decodes_it(name: str, audio: Audio, save: Save) -> None:
    # FFmpeg 5 leaves the encoder's delay in Matroska's AAC, FFmpeg 8 removes it.
    path = save(name, whole(name))
    expected = audio_files.oracle(path, 2)

    found, _ = read(path)

    assert found.shape == expected.shape
    if name in LOSSLESS:
        assert np.array_equal(found, expected)
    else:
        assert agreement_db(found, expected) >= 80


@pytest.mark.parametrize("channels", [1, 3, 6, 8])
@pytest.mark.parametrize("name", ["16.flac", "flac.oga", "16.wv"])
def test_channels_keep_their_order(name: str, channels: int, save: Save) -> None:
    layouts = {1: "mono", 3: "3.0", 6: "5.1", 8: "7.1"}
    audio = audio_files.song(np.random.default_rng(1), 0.1, channels)
    if name in SNDFILE:
        path = save(name, audio_files.encoded(name, audio))
    else:
        path = save(name, film([audio], *LIBAV[name], layout=layouts[channels]))

    found, _ = read(path)

    assert np.array_equal(found, audio)


def test_bw64_is_read(audio: Audio, save: Save) -> None:
    data = whole("rf64.wav")

    found, warnings = read(save("song.wav", b"BW64" + data[4:]))

    assert np.array_equal(found, audio)
    assert not warnings


# Streams of films


@pytest.fixture(scope="module")
def two() -> bytes:
    rng = np.random.default_rng(1)
    streams = [audio_files.song(rng, 0.1), audio_files.song(rng, 0.1)]
    return film(streams, "matroska", "flac", languages=("eng", "ger"))


@pytest.mark.parametrize(("stream", "index"), [("1", 0), ("2", 1), ("ger", 1), ("ENG", 0)])
def test_a_stream_is_chosen_by_number_or_language(
    stream: str, index: int, two: bytes, save: Save
) -> None:
    rng = np.random.default_rng(1)
    streams = [audio_files.song(rng, 0.1), audio_files.song(rng, 0.1)]

    found, warnings = read(save("film.mkv", two), stream)

    assert np.array_equal(found, streams[index])
    assert not warnings


def test_the_first_stream_is_read_and_the_others_are_named(two: bytes, save: Save) -> None:
    found, warnings = read(save("film.mkv", two))

    assert np.array_equal(found, audio_files.song(np.random.default_rng(1), 0.1))
    assert warnings == [
        "the first of its audio streams was read: 1 eng stereo flac, 2 ger stereo flac"
    ]


@pytest.mark.parametrize("stream", ["0", "3", "fre", ""])
def test_a_stream_that_is_missing_is_refused(stream: str, two: bytes, save: Save) -> None:
    path = save("film.mkv", two)

    with pytest.raises(SongError, match=f"the audio stream {stream} in .*, found 1 eng stereo"):
        song_format(path, stream)


def test_a_film_without_sound_is_refused(save: Save) -> None:
    path = save("film.mkv", pictures())

    with pytest.raises(SongError, match="but it has no audio stream"):
        song_format(path)


def pictures() -> bytes:
    """A film of one grey picture."""
    import io

    import av

    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream("mjpeg", rate=1)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuvj420p"
        frame = av.VideoFrame.from_ndarray(np.full((24, 16), 128, np.uint8), format="yuvj420p")
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def test_a_gap_between_time_stamps_is_not_filled_but_said(save: Save) -> None:
    audio = audio_files.song(np.random.default_rng(1), 2.0)
    data = film([audio], "matroska", "flac", starts_s=((1.0, 0.5),))

    found, warnings = read(save("film.mkv", data))

    assert np.array_equal(found, audio)
    gap, at, _ = warnings[0].partition(" at ")
    assert gap.startswith("its time stamps have a gap of 0.")
    assert at
    assert warnings[0].endswith("which was not filled")


def test_a_format_that_changes_midway_is_refused(save: Save) -> None:
    stereo, mono = (audio_files.song(np.random.default_rng(1), 0.3, n) for n in (2, 1))
    data = film([stereo], "ogg", "flac") + film([mono], "ogg", "flac", layout="mono")
    path = save("song.oga", data)

    with pytest.raises(
        SongError, match=r"at 0:00\.300 it changes from 44100 Hz and 2 channels to 44100 Hz and 1"
    ):
        list(read_blocks(path))


# Safety


PLAYLISTS = {
    "list.m3u8": b"\xef\xbb\xbf#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n",
    "list.ffconcat": b"ffconcat version 1.0\nfile '{}'\n",
    "later.ffconcat": b"\nffconcat version 1.0\nfile '{}'\n",
    "list.sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=audio 5004 RTP/AVP 0\n",
    "list.mpd": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    "list.asx": b"[Reference]\nRef1=http://127.0.0.1/{}\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_file_that_names_others_is_no_audio(name: str, audio: Audio, save: Save) -> None:
    other = save("other.wav", whole("16.wav"))
    path = save(name, PLAYLISTS[name].replace(b"{}", os.fsencode(other)))

    with pytest.raises(SongError, match="its format is not recognised"), containers.opened(path):
        pytest.fail("it was opened")
    with pytest.raises(SongError):
        song_format(path)


@pytest.mark.parametrize("name", ["concat:a.wav|b.wav", "http:", "%03d.wav", "pipe:0"])
def test_a_name_is_no_address(
    name: str, audio: Audio, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(name, whole("16.wv"))
    monkeypatch.chdir(path.parent)

    found, _ = read(Path(name))

    assert np.array_equal(found, audio)


def test_a_name_outside_unicode_is_read(audio: Audio, save: Save) -> None:
    path = save(os.fsdecode(b"caf\xe9.wv"), whole("16.wv"))

    found, _ = read(path)

    assert np.array_equal(found, audio)


def test_only_audio_is_decoded_and_only_listed_formats_are_tried() -> None:
    import av

    decoders = {name: av.Codec(name, "r").type for name in containers.CODECS.split(",")}

    assert set(decoders.values()) == {"audio"}
    playlists = {"hls", "concat", "dash", "sdp", "rtsp", "image2", "lavfi", "imf", "tedcaptions"}
    assert not playlists & set(containers.FORMATS.split(","))


def test_a_movie_with_a_size_beyond_all_bounds_is_refused(save: Save) -> None:
    box = struct.pack(">I4sQ", 1, b"moov", 1 << 62)
    path = save("song.mp4", struct.pack(">I4s8s", 16, b"ftyp", b"isom\0\0\0\0") + box + bytes(99))

    with pytest.raises(SongError, match="but it has no audio stream"):
        song_format(path)


def test_integers_of_64_bits_are_read(tmp_path: Path) -> None:
    samples = (np.linspace(-0.5, 0.5, 1000) * 2**63).astype("<i8").tobytes()
    form = struct.pack("<IHHIIHH", 16, 1, 1, 44_100, 8 * 44_100, 8, 64)
    chunks = b"WAVEfmt " + form + b"data" + struct.pack("<I", len(samples)) + samples
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)

    (block,) = read_blocks(tmp_path / "a.wav")

    assert np.allclose(block.numpy(), np.linspace(-0.5, 0.5, 1000), atol=1e-7)
