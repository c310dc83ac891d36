"""Songs are read from files, and stems are written into files: all of them, or none."""

import resource
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from demixing.audio import SongFormat
from demixing.audio.files import read_blocks, song_format, whole_files, write_stems
from demixing.errors import OutputError, SongError

STEMS = ("bass", "drums", "other", "vocals")
SONG_44K = SongFormat(sample_rate_hz=44_100, channels=2, frames=100)

WriteSong = Callable[..., Path]


def read_song(path: Path, frames: int = 1000) -> Tensor:
    return torch.cat(list(read_blocks(path, frames)), dim=-1)


def patched(path: Path, place: bytes, offset: int, value: bytes) -> Path:
    """Overwrite some bytes of a file, counted from where ``place`` is found."""
    data = bytearray(path.read_bytes())
    at = data.index(place) + offset
    data[at : at + len(value)] = value
    path.write_bytes(data)
    return path


@contextmanager
def disk_of(size_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size; the error is then much like that of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def stems_of(samples: int, channels: int = 2, peak: float = 0.5) -> Tensor:
    generator = torch.Generator().manual_seed(samples)
    return peak * (2 * torch.rand(len(STEMS), channels, samples, generator=generator) - 1)


def save(folder: Path, stems: Tensor, bits: str, kind: str = "wav", rate_hz: int = 44_100) -> None:
    form = SongFormat(sample_rate_hz=rate_hz, channels=stems.shape[1], frames=stems.shape[2])
    targets = [folder / f"{stem}.{kind}" for stem in STEMS]
    with whole_files(targets) as paths:
        for _ in write_stems([stems], dict(zip(STEMS, paths, strict=True)), form, bits=bits):
            pass


# Reading


@pytest.mark.parametrize("block", [1, 7, 999, 1000, 1001])
def test_blocks_of_any_length_add_up_to_the_song(write_song: WriteSong, block: int) -> None:
    path = write_song(samples=1000, channels=3, subtype="FLOAT")
    whole, _ = soundfile.read(path, dtype="float32")

    song = read_song(path, block)

    torch.testing.assert_close(song, torch.from_numpy(whole.T.copy()), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
def test_blocks_of_a_compressed_song_are_those_of_the_whole(
    write_song: WriteSong, kind: str
) -> None:
    path = write_song(f"song.{kind}", samples=30_011)
    whole, _ = soundfile.read(path, dtype="float32")

    song = read_song(path, 4999)

    torch.testing.assert_close(song, torch.from_numpy(whole.T.copy()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF"])
def test_every_container_of_pcm_gives_the_same_samples(tmp_path: Path, container: str) -> None:
    samples = np.arange(-500, 500).reshape(500, 2) / 2**15
    soundfile.write(tmp_path / "song", samples, 44_100, subtype="PCM_16", format=container)

    song = read_song(tmp_path / "song")

    assert np.array_equal(song.numpy().T, samples.astype(np.float32))


def test_chunks_of_odd_length_are_skipped(write_song: WriteSong) -> None:
    path = write_song(samples=500)
    expected = read_song(path)
    data = path.read_bytes()
    at = data.index(b"data")
    path.write_bytes(data[:at] + b"note" + struct.pack("<I", 5) + b"hello\0" + data[at:])

    song = read_song(path)

    assert torch.equal(song, expected)


def test_a_wav_from_a_pipe_is_read_to_its_end(write_song: WriteSong) -> None:
    path = write_song(samples=500)
    expected = read_song(path)
    patched(path, b"RIFF", 4, b"\xff" * 4)
    patched(path, b"data", 4, b"\xff" * 4)

    song = read_song(path)

    assert torch.equal(song, expected)


def test_a_wav_that_was_cut_off_gives_what_is_left(write_song: WriteSong) -> None:
    path = write_song(samples=500)
    expected = read_song(path)
    path.write_bytes(path.read_bytes()[:-402])

    song = read_song(path)

    assert torch.equal(song, expected[:, : song.shape[1]])
    assert song.shape == (2, 399)  # half a frame is no sample
    assert song_format(path).frames == 399


def test_the_header_says_what_the_song_is(write_song: WriteSong) -> None:
    path = write_song(samples=123, channels=6, sample_rate_hz=96_000)

    form = song_format(path)

    assert form == SongFormat(sample_rate_hz=96_000, channels=6, frames=123)


def test_a_flac_from_a_pipe_is_read_to_its_end(write_song: WriteSong) -> None:
    path = write_song("song.flac")
    expected = read_song(path)
    head = path.read_bytes()
    # STREAMINFO: the low 4 bits of byte 13, and bytes 14 to 17, are the number of samples.
    patched(path, b"fLaC", 8 + 13, bytes([head[8 + 13] & 0xF0, 0, 0, 0, 0]))

    song = read_song(path)

    assert torch.equal(song, expected)
    assert song_format(path).frames == 1000


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.wav", b"", "got an empty file"),
        ("text.wav", b"You asked for the vocals.\n" * 50, "but its format is not recognised"),
        ("half.wav", b"RIFF\x24\0\0\0WAVEfmt ", "its header is damaged or incomplete"),
        ("headerless.raw", b"\0" * 4000, "but its format is not recognised"),
        ("stem.mp4", b"\0\0\0\x18ftypmp42" + b"\0" * 50, "its index is missing or damaged"),
        ("pointer.wav", b"version https://git-lfs.github.com/spec/v1\noid", "run: git lfs pull"),
        ("list.m3u8", b"#EXTM3U\nsong.wav\n", "got a playlist, which names other files"),
        ("page.mp3", b"<!DOCTYPE html><html>", "got a web page"),
    ],
)
def test_a_file_that_is_not_audio_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(SongError, match=message):
        song_format(path)
    with pytest.raises(SongError, match=message):
        list(read_blocks(path))


def test_a_damaged_flac_is_refused(write_song: WriteSong) -> None:
    path = write_song("song.flac", samples=20_000)
    path.write_bytes(path.read_bytes()[:-3000])

    with pytest.raises(
        SongError, match=r"song\.flac, but it is damaged between 0:00\.000 and 0:00\.454"
    ):
        list(read_blocks(path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.wav", "but there is none"),
        (".", "got a folder"),
        ("song.wav/below.wav", "but: Not a directory"),
        ("loop.wav", "but: Too many levels of symbolic links"),
        ("x" * 300, "but: File name too long"),
    ],
)
def test_a_path_without_a_file_is_refused(
    tmp_path: Path, write_song: WriteSong, name: str, message: str
) -> None:
    write_song("song.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")

    with pytest.raises(SongError, match=message):
        song_format(tmp_path / name)


# Writing


@pytest.mark.parametrize(
    ("kind", "bits", "subtype", "step"),
    [
        ("wav", "16", "PCM_16", 2**-15),
        ("wav", "24", "PCM_24", 2**-23),
        ("wav", "32f", "FLOAT", 0),
        ("flac", "16", "PCM_16", 2**-15),
        ("flac", "24", "PCM_24", 2**-23),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_stems_are_written_at_the_depth_that_was_chosen(
    tmp_path: Path, kind: str, bits: str, subtype: str, step: float, channels: int
) -> None:
    stems = stems_of(997, channels)

    save(tmp_path, stems, bits, kind, rate_hz=48_000)

    for name, stem in zip(STEMS, stems, strict=True):
        info = soundfile.info(tmp_path / f"{name}.{kind}")
        assert (info.samplerate, info.subtype) == (48_000, subtype)
        written = read_song(tmp_path / f"{name}.{kind}")
        torch.testing.assert_close(written, stem, rtol=0, atol=step)


@pytest.mark.parametrize("bits", ["16", "24"])
def test_samples_that_integers_cannot_hold_are_counted_and_clipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bits: str
) -> None:
    stems = torch.zeros(4, 2, 100)
    stems[1, 0, :7] = 1.5
    stems[1, 1, 7] = -3
    stems[2, 0, 0] = 1  # not above

    save(tmp_path, stems, bits)

    assert [record.message for record in caplog.records] == [
        "drums: 8 samples are above full scale, the peak is 3.00: integer files clip them"
    ]
    drums = read_song(tmp_path / "drums.wav")
    assert drums.max() == pytest.approx(1, abs=1e-4)
    assert drums[1, 7] == -1


def test_floats_keep_what_is_above_full_scale(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stems = stems_of(100, peak=40)

    save(tmp_path, stems, "32f")

    assert not caplog.records
    assert torch.equal(read_song(tmp_path / "vocals.wav"), stems[3])


def test_flac_refuses_nine_channels(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="at most 8 channels for FLAC, got 9; choose WAV"):
        save(tmp_path, stems_of(100, channels=9), "24", "flac")

    assert not everything(tmp_path)


def test_a_song_that_outgrows_a_wav_header_gets_rf64(tmp_path: Path) -> None:
    hours = SongFormat(sample_rate_hz=44_100, channels=2, frames=1 << 30)

    for _ in write_stems([stems_of(10)[:1]], {"bass": tmp_path / "b.wav"}, hours, bits="32f"):
        pass

    assert soundfile.info(tmp_path / "b.wav").format == "RF64"


@pytest.mark.parametrize("kind", ["wav", "flac"])
@pytest.mark.parametrize("samples", [4000, 5000, 400_000])
def test_a_full_disk_leaves_nothing(tmp_path: Path, kind: str, samples: int) -> None:
    # 4000 samples fit into the encoder's buffer: only closing the file fails.
    stems = stems_of(samples)

    with (
        disk_of(18_000),
        pytest.raises(OutputError, match=r"cannot write stems to .*(disk|space)"),
    ):
        save(tmp_path / "song", stems, "24", kind)

    assert not everything(tmp_path)


# Whole files


def test_files_appear_together_when_all_are_complete(tmp_path: Path) -> None:
    targets = [tmp_path / "a.txt", tmp_path / "b.txt"]

    with whole_files(targets) as paths:
        for path in paths:
            path.write_text(path.name)
        before = [path.exists() for path in targets]

    assert before == [False, False]
    assert [path.read_text() for path in targets] == ["a.txt", "b.txt"]
    assert everything(tmp_path) == {"a.txt", "b.txt"}


def test_files_may_go_into_several_folders(tmp_path: Path) -> None:
    targets = [tmp_path / "a" / "stem.wav", tmp_path / "b" / "c" / "stem.wav"]

    with whole_files(targets) as paths:
        for number, path in enumerate(paths):
            path.write_text(str(number))

    assert [path.read_text() for path in targets] == ["0", "1"]
    assert everything(tmp_path) == {"a", "a/stem.wav", "b", "b/c", "b/c/stem.wav"}


@pytest.mark.parametrize("error", [SongError("mute"), KeyboardInterrupt(), RuntimeError("bug")])
def test_nothing_is_left_when_the_work_fails(tmp_path: Path, error: BaseException) -> None:
    targets = [tmp_path / "new" / "deep" / "a.txt", tmp_path / "other" / "b.txt"]

    with pytest.raises(type(error)), whole_files(targets) as paths:  # noqa: PT012
        paths[0].write_text("half")
        raise error

    assert not everything(tmp_path)


def test_old_files_stay_when_the_work_fails(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")

    with pytest.raises(SongError), whole_files([tmp_path / "a.txt"]) as paths:  # noqa: PT012
        paths[0].write_text("half")
        raise SongError("mute")

    assert (tmp_path / "a.txt").read_text() == "old"
    assert everything(tmp_path) == {"a.txt"}


def test_a_folder_in_place_of_a_file_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "b.txt").mkdir()

    with (
        pytest.raises(OutputError, match=r"cannot write stems to .*: b\.txt is a folder"),
        whole_files([tmp_path / "a.txt", tmp_path / "b.txt"]),
    ):
        pytest.fail("the work was begun")

    assert everything(tmp_path) == {"b.txt"}


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")

    with (
        pytest.raises(OutputError, match=r"cannot write stems to .*file/song: Not a directory"),
        whole_files([tmp_path / "file" / "song" / "a.wav"]),
    ):
        pytest.fail("the work was begun")

    assert (tmp_path / "file").read_text() == "old"


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 251 + ".wav")

    with whole_files([target]) as paths:
        paths[0].write_text("whole")

    assert target.read_text() == "whole"


def test_files_and_folders_have_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")

    with whole_files([tmp_path / "new" / "a.wav"]) as paths:
        paths[0].write_text("")

    def mode(name: str) -> int:
        return stat.S_IMODE((tmp_path / name).stat().st_mode)

    assert mode("new/a.wav") == mode("usual")
    assert mode("new") == mode("usual") | 0o111


@pytest.mark.parametrize("channels", [3, 6])
def test_channels_of_ogg_come_in_the_order_of_wave(
    write_song: Callable[..., Path], channels: int
) -> None:
    # A tone per channel, in Ogg's order: front left, centre, front right, back pair, low frequency.
    tones_hz = [15 * (1 + channel) for channel in range(channels)]
    phase = 2 * np.pi * np.arange(44_100)[:, None] / 44_100
    path = write_song("song.ogg", audio=0.2 * np.sin(phase * tones_hz))

    song = torch.cat(list(read_blocks(path)), dim=1)

    loudest_hz = torch.fft.rfft(song[:, :44_100]).abs().argmax(dim=1).tolist()
    expected = {3: [15, 45, 30], 6: [15, 45, 30, 90, 60, 75]}
    assert loudest_hz == expected[channels]
