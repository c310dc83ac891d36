"""Damaged files: what players play is read, and what is missing is said; never silently less."""

import errno
import functools
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from demixing.audio import containers, headers, lengths, ogg
from demixing.audio.files import read_blocks, song_format
from demixing.errors import SongError
from tests import audio_files
from tests.audio_files import DAMAGES, LIBAV, RATE_HZ, SNDFILE, Audio, encoded, film, sized

NAMES = [*SNDFILE, *LIBAV]
WITHOUT_LENGTH = {"aac.aac", "16.ac3", "16.eac3", "mp2.ts", "16.mp2", "pcm.avi", "bare.mp3"}
"""Formats that say nowhere how long they are."""

UNLIKE_FFMPEG = {"16.w64", "16.au", "16.caf", "16.flac", "24.flac", "aac.mkv", "16.wma"}
"""FFmpeg 5 reads beyond the audio of some, and skips damage in FLAC, which is refused here."""

Save = Callable[[str, bytes], Path]


@functools.lru_cache
def song() -> Audio:
    return audio_files.song(np.random.default_rng(1))


@functools.lru_cache(maxsize=100)
def whole(name: str) -> bytes:
    """The song in one of the formats, undamaged."""
    return encoded(name, song())


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


def read(path: Path) -> tuple[Audio, list[str]]:
    """Samples, ``(samples, channels)``, and warnings."""
    warnings: list[str] = []
    blocks = list(read_blocks(path, warn=warnings.append))
    silence = torch.zeros(2, 0)
    return torch.cat(blocks or [silence], dim=1).numpy().T, warnings


def drawn(seed: int) -> tuple[str, str, np.random.Generator]:
    """A format, damage, and the random numbers for it."""
    rng = np.random.default_rng(seed)
    return str(rng.choice(NAMES)), str(rng.choice(list(DAMAGES))), rng


def reading(path: Path) -> tuple[Audio | None, list[str]]:
    """Samples and warnings, or None and the sentence of the refusal."""
    try:
        return read(path)
    except SongError as error:
        return None, [str(error)]


@pytest.mark.parametrize("seed", range(120))
def test_nothing_is_lost_in_silence(seed: int, audio: Audio, save: Save) -> None:
    name, damage, rng = drawn(seed)
    data = whole(name)
    undamaged, _ = read(save(name, data))

    found, texts = reading(save(f"{damage}_{name}", DAMAGES[damage](data, rng)))

    assert not any("\n" in text for text in texts)
    if found is None:
        assert f"{damage}_{name}" in texts[0], "the sentence does not name the file"
    else:
        shorter = len(found) < len(undamaged) - 4096
        assert texts or not shorter or name in WITHOUT_LENGTH, (name, damage)


@pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="compares with the program ffmpeg, which is missing"
)
@pytest.mark.parametrize("seed", range(40))
def test_what_is_read_is_what_ffmpeg_plays(seed: int, audio: Audio, save: Save) -> None:
    name, damage, rng = drawn(seed)
    if name in UNLIKE_FFMPEG or damage in ("joined", "after_tag", "after_junk"):
        pytest.skip("differs by design or between versions of FFmpeg")
    path = save(f"{damage}_{name}", DAMAGES[damage](whole(name), rng))
    expected = audio_files.oracle(path, 2)

    found, _ = reading(path)

    if found is None:
        assert len(expected) == 0
    else:
        assert found.shape == expected.shape
        sound = np.isfinite(expected) & (np.abs(expected) < 1e6)
        assert np.abs(found[sound] - expected[sound]).max() < 1e-4


@pytest.mark.parametrize("name", [name for name in NAMES if name in audio_files.LOSSLESS])
def test_a_truncated_file_gives_its_beginning_and_numbers(
    name: str, audio: Audio, save: Save
) -> None:
    data = whole(name)

    found, texts = reading(save(name, data[: len(data) // 2]))

    if found is None:
        reasons = ("damaged between", "its index is missing", "none of it could be decoded")
        assert any(reason in texts[0] for reason in reasons)
        return
    assert 0 < len(found) < len(audio)
    assert np.array_equal(found, audio[: len(found)]) or name == "u8.wav"
    if name not in WITHOUT_LENGTH | {"flac.oga"}:
        promise = f"its header promises {len(audio)} samples, but only {len(found)} could be read"
        assert texts[-1] == promise


@pytest.mark.parametrize("name", ["16.flac", "vorbis.ogg", "48.opus", "flac.oga", "16.wav"])
def test_joined_files_are_read_or_the_rest_is_said(name: str, audio: Audio, save: Save) -> None:
    data = whole(name)
    one, _ = read(save(name, data))

    found, warnings = read(save(f"two_{name}", data + data))

    if name in ("16.flac", "16.wav"):
        assert np.array_equal(found, one)
        assert len(warnings) == 1
        assert f"bytes after the {len(one)} samples of its header were not read" in warnings[0]
    else:
        assert np.array_equal(found, np.concatenate([one, one]))
        assert not warnings


def test_all_parts_of_an_ogg_file_are_found(audio: Audio, save: Save) -> None:
    data = whole("vorbis.ogg")

    parts = ogg.parts(save("song.ogg", data + data + data[: len(data) // 2]))

    assert [part.start for part in parts] == [0, len(data), 2 * len(data)]
    assert [part.ended for part in parts] == [True, True, False]


def test_an_ogg_file_that_was_cut_off_between_pages_is_said(audio: Audio, save: Save) -> None:
    data = whole("vorbis.ogg")

    found, warnings = read(save("song.ogg", data[: data.rindex(b"OggS")]))

    assert 0 < len(found) < len(audio)
    assert warnings[0].startswith("its last page is missing, so it was cut off at 0:00.")


def test_lost_pages_of_ogg_are_said(audio: Audio, save: Save) -> None:
    data = whole("vorbis.ogg")
    start = data.index(b"OggS", len(data) // 3)
    stop = data.index(b"OggS", start + 1)

    _, warnings = read(save("song.ogg", data[:start] + data[stop:]))

    assert "pages are missing or damaged in 1 place; they were skipped" in warnings


# MP3


def test_an_mp3_file_without_a_header_is_read_to_its_end(save: Save) -> None:
    # Silence first: the bit rate of the first frames says a wrong length.
    audio = np.concatenate(
        [np.zeros((RATE_HZ, 2), np.float32), audio_files.song(np.random.default_rng(1))]
    )
    data = film([audio], "mp3", "libmp3lame", options={"write_xing": "0"}, quality=4)
    path = save("song.mp3", data)

    found, warnings = read(path)

    assert not warnings
    assert len(audio) <= len(found) <= len(audio) + 3 * 1152
    assert song_format(path).frames == len(found)


def test_the_damaged_middle_of_an_mp3_file_is_skipped_and_said(audio: Audio, save: Save) -> None:
    data = whole("vbr.mp3")
    middle = len(data) // 2
    junk = np.random.default_rng(1).bytes(2000)

    found, warnings = read(save("song.mp3", data[:middle] + junk + data[middle + 2000 :]))

    assert 0.7 * len(audio) < len(found) < len(audio)
    assert warnings[0].startswith("it is damaged at 0:00.")
    assert warnings[1] == (
        f"its header promises {len(audio)} samples, but only {len(found)} could be read"
    )


@pytest.mark.parametrize("tag_bytes", [0, 10, 5000])
def test_the_length_in_a_header_of_mp3_is_exact(tag_bytes: int, audio: Audio, save: Save) -> None:
    size = bytes([0, 0, tag_bytes >> 7, tag_bytes & 127])
    tag = b"ID3\4\0\0" + size + bytes(tag_bytes) if tag_bytes else b""

    path = save("song.mp3", tag + whole("vbr.mp3"))

    assert lengths.mp3_samples(path) == len(audio)
    assert np.array_equal(read(path)[0], read(save("b.mp3", whole("vbr.mp3")))[0])


@pytest.mark.parametrize("junk", [b"", b"ID3", b"Xing", b"\xff\xfb\x90\x64" + bytes(32) + b"Xing"])
def test_what_is_no_header_of_mp3_says_no_length(junk: bytes, save: Save) -> None:
    assert lengths.mp3_samples(save("song.mp3", junk)) == 0


# Headers that lie


@pytest.mark.parametrize(
    ("name", "chunk"),
    [("16.wav", "data"), ("rf64.wav", "ds64"), ("16.aiff", "SSND"), ("16.au", ".snd")],
)
def test_a_size_of_zero_does_not_hide_the_audio(
    name: str, chunk: str, audio: Audio, save: Save
) -> None:
    data = sized(chunk, 0)(whole(name), np.random.default_rng(1))

    found, texts = reading(save(name, data))

    if found is None:
        assert name in ("16.aiff", "16.au")
        assert f"says 0 samples, although {4 * len(audio)} bytes follow" in texts[0]
    else:
        assert np.array_equal(found, audio)
        said = f"its header says 0 samples; the {4 * len(audio)} bytes that follow were read"
        assert texts == [said]


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x7FFFF000])
@pytest.mark.parametrize("name", ["16.wav", "24.wav", "float.wav"])
def test_a_size_that_was_not_known_is_no_promise(
    name: str, size: int, audio: Audio, save: Save
) -> None:
    path = save(name, sized("data", size)(whole(name), np.random.default_rng(1)))

    found, warnings = read(path)

    assert np.array_equal(found[: len(audio)], audio)
    assert not warnings


def test_a_size_that_is_too_small_leaves_bytes_that_are_said(audio: Audio, save: Save) -> None:
    data = sized("data", 4 * 1000)(whole("16.wav"), np.random.default_rng(1))

    found, warnings = read(save("song.wav", data))

    assert np.array_equal(found, audio[:1000])
    left = 4 * (len(audio) - 1000)
    assert len(warnings) == 1
    assert f"{left} bytes after the 1000 samples of its header were not read" in warnings[0]


@pytest.mark.parametrize(
    "after",
    [
        b"LIST\x04\0\0\0INFO",
        b"TAG".ljust(128, b"\0"),
        b"APETAGEX" + bytes(200),
        bytes(5000),
        bytes(3) + b"ID3\4\0\0" + bytes(100),
        b"bext\x05\0\0\0hello\0" + b"note\x05\0\0\0helloLIST\x02\0\0\0ab" + b"x" * 50,
    ],
)
def test_chunks_tags_and_padding_after_the_audio_are_no_audio(
    after: bytes, audio: Audio, save: Save
) -> None:
    found, warnings = read(save("song.wav", whole("16.wav") + after))

    assert np.array_equal(found, audio)
    assert not warnings


def test_of_two_chunks_of_audio_the_first_is_read_and_it_is_said(audio: Audio, save: Save) -> None:
    data = whole("16.wav")
    chunk = data[data.index(b"data") :]

    found, warnings = read(save("song.wav", data + chunk))

    assert np.array_equal(found, audio)
    assert warnings == ["it has 2 chunks of audio, of which only the first was read"]


def test_an_empty_song_is_empty(save: Save) -> None:
    for tail in (b"", b"LIST\x04\0\0\0INFO"):
        data = encoded("16.wav", np.zeros((0, 2), np.float32))

        found, warnings = read(save("song.wav", data + tail))

        assert len(found) == 0
        assert not warnings


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (12, struct.pack("<I", 0), "says a sample rate of 0 Hz"),
        (8, struct.pack("<HHIIHH", 3, 2, 44_100, 176_400, 4, 16), "floats of 16 bits"),
        (10, struct.pack("<H", 0), "says 0 channels"),
        (8, struct.pack("<H", 0x7777), "none of it could be decoded"),
    ],
)
def test_a_header_that_cannot_be_right_gives_a_sentence(
    offset: int, value: bytes, message: str, audio: Audio, save: Save
) -> None:
    data = bytearray(whole("16.wav"))
    at = data.index(b"fmt ") + offset
    data[at : at + len(value)] = value

    with pytest.raises(SongError, match=message):
        song_format(save("song.wav", bytes(data)))


@pytest.mark.parametrize("container", ["RIFF", "RF64", "FORM", "riff", "caff", ".snd"])
def test_no_header_makes_the_walk_fail(container: str, save: Save) -> None:
    rng = np.random.default_rng(1)
    for size in (4, 12, 16, 50, 5000):
        headers.read(save("song", container.encode() + rng.bytes(size)))
        headers.read(save("song", container.encode() + bytes(size)))
        headers.read(save("song", container.encode() + b"data" * (size // 4)))


def test_after_the_audio_of_w64_nothing_is_audio(audio: Audio, save: Save) -> None:
    # libsndfile reads to the end of the file.
    path = save("song.w64", whole("16.w64") + bytes(100_000))
    assert soundfile.info(path).frames > len(audio)

    found, _ = read(path)

    assert np.array_equal(found, audio)


@pytest.mark.parametrize("name", ["vbr.mp3", "aac.m4a", "vorbis.ogg", "aac.aac"])
@pytest.mark.parametrize("reads", [0, 3])
def test_a_disk_that_fails_gives_a_sentence(
    name: str, reads: int, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(name, whole(name))
    left = [reads]
    read_more = containers.Source.read

    def failing(source: containers.Source, size: int) -> bytes:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read_more(source, min(size, 2000))

    monkeypatch.setattr(containers.Source, "read", failing)

    with pytest.raises(SongError, match=f"cannot read {path}: Input/output error"):
        read(path)
