"""MP3, M4A and Opus: as long as the song, in step with it, complete or not there."""

import resource
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from demixing.audio import SongFormat, encoders
from demixing.cli.main import main
from demixing.cli.separate import LOSSY_BITRATES
from demixing.errors import OutputError

pytestmark = pytest.mark.engine

KINDS = ["mp3", "m4a", "opus"]

WriteSong = Callable[..., Path]


def tones(samples: int, channels: int, rate_hz: int) -> NDArray[np.float32]:
    """A tone of its own level in each channel."""
    time_s = np.arange(samples)[:, None] / rate_hz
    levels = 0.3 * 0.8 ** np.arange(channels)
    return (levels * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)


def encoded(
    path: Path, audio: NDArray[np.float32], rate_hz: int, bitrate: int | None = None
) -> None:
    form = SongFormat(sample_rate_hz=rate_hz, channels=audio.shape[1], frames=len(audio))
    with encoders.Encoder(path, form, bitrate) as encoder:
        for block in np.array_split(audio, 5):
            encoder.write(block)


def decoded(path: Path) -> NDArray[np.float32]:
    """As players decode it, ``(samples, channels)``."""
    with av.open(str(path)) as container:
        frames = [one.to_ndarray() for one in container.decode(audio=0)]
    return np.concatenate(frames, axis=1).T.astype(np.float32)


def length_s(path: Path) -> float:
    """What the file says of its length."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        return float(stream.duration * stream.time_base)


@pytest.mark.parametrize("kind", ["mp3", "opus"])
@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("samples", [1_000, 30_011])
def test_no_sample_is_added_or_lost(tmp_path: Path, kind: str, rate_hz: int, samples: int) -> None:
    path = tmp_path / f"a.{kind}"

    encoded(path, tones(samples, 2, rate_hz), rate_hz)

    file_hz = 48_000 if kind == "opus" else rate_hz
    assert len(decoded(path)) == round(samples * file_hz / rate_hz)


@pytest.mark.parametrize("kind", ["mp3", "m4a", "opus"])
def test_equal_stems_make_equal_files(tmp_path: Path, kind: str) -> None:
    for name in "ab":
        encoded(tmp_path / f"{name}.{kind}", tones(30_011, 2, 44_100), 44_100)

    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


@pytest.mark.parametrize("samples", [1, 1_000, 30_011])
def test_an_mp4_file_says_how_long_it_is(tmp_path: Path, samples: int) -> None:
    path = tmp_path / "a.m4a"

    encoded(path, tones(samples, 2, 44_100), 44_100)

    assert round(44_100 * length_s(path)) == samples


@pytest.mark.parametrize(
    ("kind", "channels"),
    [("mp3", 1), ("mp3", 2)] + [(kind, n) for kind in ("m4a", "opus") for n in (1, 2, 3, 6)],
)
def test_the_sound_is_in_step_and_channels_keep_their_order(
    tmp_path: Path, kind: str, channels: int
) -> None:
    path, audio = tmp_path / f"a.{kind}", tones(48_000, channels, 48_000)

    encoded(path, audio, 48_000, bitrate=320)
    found = decoded(path)[: len(audio)]

    low = 3 if channels == 6 else None  # the channel of low frequencies is cut above 120 Hz
    for number in {*range(channels)} - {low}:
        before, after = audio[4_800:43_200, number], found[4_800:43_200, number]
        noise = np.square(before - after).sum() / np.square(before).sum()
        assert 10 * np.log10(noise) < -15


def test_a_bit_rate_decides_the_size(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal((200_000, 2)).astype(np.float32)
    for bitrate in (64, 192):
        encoded(tmp_path / f"{bitrate}.mp3", noise, 44_100, bitrate)

    sizes = [(tmp_path / f"{bitrate}.mp3").stat().st_size for bitrate in (64, 192)]

    assert sizes[1] / sizes[0] == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize(
    ("kind", "rate_hz", "channels", "message"),
    [
        ("mp3", 96_000, 2, "a sample rate of 8000, 11025"),
        ("mp3", 44_100, 6, "expected 1 or 2 channels for mp3, got 6; choose wav or flac"),
        ("m4a", 192_000, 2, "choose wav, flac or opus"),
        ("opus", 44_100, 5, "channels for opus, got 5"),
    ],
)
def test_a_song_that_does_not_fit_is_refused_before_anything_is_computed(
    write_song: WriteSong,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    rate_hz: int,
    channels: int,
    message: str,
) -> None:
    form = SongFormat(sample_rate_hz=rate_hz, channels=channels, frames=1)
    with pytest.raises(OutputError, match=message):
        encoders.check(kind, form)
    song = write_song(samples=100, sample_rate_hz=rate_hz, channels=channels)

    words = ["separate", str(song), "-o", str(tmp_path / "out"), "--format", kind]
    assert main([*words, "--recipe", "mdx_equal_shares"]) == 2

    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_no_files(
    write_song: WriteSong, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    song, out = write_song(samples=300_000), tmp_path / "out"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))

    try:
        words = ["separate", str(song), "-o", str(out), "--format", kind]
        status = main([*words, "--recipe", "mdx_equal_shares"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert status == 2
    assert f"cannot write stems to {out / 'song'}: " in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_stems_in_a_lossy_format(write_song: WriteSong, tmp_path: Path, kind: str) -> None:
    song, out = write_song(audio=3 * tones(44_100, 2, 44_100)), tmp_path / "out"

    words = ["separate", str(song), "-o", str(out), "--format", kind, "--stems", "drums"]
    assert main([*words, "--recipe", "mdx_equal_shares", "--bitrate", "256"]) == 0

    (path,) = (out / "song").iterdir()
    assert path.name == f"drums.{kind}"
    found = decoded(path)[4_000:40_000]
    assert np.std(found[:, 0]) == pytest.approx(0.75 * np.std(tones(44_100, 1, 44_100)), rel=0.03)


def test_the_command_knows_the_bit_rates_without_importing_the_encoders() -> None:
    assert {
        kind: (codec.bitrate, *codec.bitrates) for kind, codec in encoders.CODECS.items()
    } == LOSSY_BITRATES
