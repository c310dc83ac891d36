"""MUSDB18's files with five streams: decoded anywhere, scored, trained on, checked."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from demixing.errors import EvaluationError, SongError
from demixing.evaluation import stem_file, stem_streams
from demixing.evaluation.audio import blocks, probe, read
from demixing.evaluation.dataset import prepare
from demixing.evaluation.songs import STEMS, find_songs
from demixing.training.data import check, layouts, songs, wav

RATE_HZ = 44_100
SAMPLES = 30 * 1024


def write(path: Path, streams: int = 5) -> Path:
    """Write a file like MUSDB18's; stream n is a tone of (n + 1) * 100 Hz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times_s = np.arange(SAMPLES) / RATE_HZ
    with av.open(str(path), "w", format="mp4") as container:
        options = {"aac_pns": "0"}  # else decoders add random noise
        outputs = [
            container.add_stream("aac", rate=RATE_HZ, layout="stereo", options=options)
            for _ in range(streams)
        ]
        for number, output in enumerate(outputs):
            tone = 0.3 * np.sin(2 * np.pi * 100 * (number + 1) * times_s)
            for at in range(0, SAMPLES, 1024):
                part = np.stack((tone, tone / 2))[:, at : at + 1024].astype(np.float32)
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
                frame.rate, frame.pts = RATE_HZ, at
                container.mux(output.encode(frame))
            container.mux(output.encode(None))
    return path


@pytest.fixture(scope="module")
def musdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with one song for training and one for testing."""
    root = tmp_path_factory.mktemp("musdb18")
    write(root / "train" / "A - One.stem.mp4")
    write(root / "test" / "B - Two.stem.mp4")
    return root


def whole(path: Path) -> NDArray[np.float32]:
    return np.concatenate(list(stem_streams.blocks(path)))


def strongest_hz(audio: NDArray[np.floating]) -> float:
    spectrum = np.abs(np.fft.rfft(audio[: RATE_HZ // 2, 0]))
    return float(np.argmax(spectrum) * RATE_HZ / len(audio[: RATE_HZ // 2]))


def test_each_stream_is_its_stem(musdb: Path) -> None:
    path = musdb / "train" / "A - One.stem.mp4"

    found_hz = [strongest_hz(whole(path / stem)) for stem in stem_file.STREAMS]

    assert found_hz == pytest.approx([100, 200, 300, 400, 500], abs=2)


@pytest.mark.parametrize("start", [0, 1, 1023, 4096, 4097, 12_345, SAMPLES - 1])
def test_any_part_equals_that_of_the_whole(musdb: Path, start: int) -> None:
    path = musdb / "train" / "A - One.stem.mp4" / "bass"

    found = stem_streams.part(path, start, 5000)

    expected = whole(path)[start : start + 5000]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_part_behind_the_end_is_empty(musdb: Path) -> None:
    path = musdb / "train" / "A - One.stem.mp4" / "bass"

    assert stem_streams.part(path, 10 * SAMPLES, 100).shape == (0, 2)


def test_the_length_is_that_of_the_decoded_audio(musdb: Path) -> None:
    path = musdb / "test" / "B - Two.stem.mp4" / "vocals"

    layout = probe(path)

    assert (layout.sample_rate_hz, layout.channels) == (RATE_HZ, 2)
    assert layout.samples == len(whole(path))
    assert sum(map(len, blocks(path, layout.samples, 7000))) == layout.samples
    audio, rate_hz = read(path)
    assert (audio.shape, rate_hz) == ((layout.samples, 2), RATE_HZ)


def test_an_evaluation_gets_wav_files(musdb: Path, tmp_path: Path) -> None:
    (song,) = find_songs(musdb, "mdx")

    prepare(song, "mdx", tmp_path)

    for role in (*STEMS["mdx"], "mixture"):
        audio, rate_hz = soundfile.read(tmp_path / "B - Two" / f"{role}.wav", dtype="float32")
        np.testing.assert_array_equal(audio, whole(song.folder / role))
        assert rate_hz == RATE_HZ


def test_training_takes_a_split(musdb: Path, tmp_path: Path) -> None:
    layout, found = layouts.find(musdb)

    assert layout == "musdb18"
    assert {song.name: song.split for song in found} == {
        "train/A - One": "train",
        "test/B - Two": "test",
    }
    for _ in range(2):  # the second time, from the cache
        (song,) = songs.index([musdb], STEMS["mdx"], split="train", cache=tmp_path)
    part = songs.read(song, "other", 10_000, 3000)
    expected = whole(musdb / "train" / "A - One.stem.mp4" / "other")[10_000:13_000]
    np.testing.assert_allclose(part.numpy().T, expected, atol=1e-6)
    assert song.samples == len(whole(musdb / "train" / "A - One.stem.mp4" / "other"))
    assert song.loudness_db["other"] > -30


@pytest.mark.parametrize("contents", [b"", b"no audio at all", None])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, contents: bytes | None) -> None:
    path = tmp_path / "a.stem.mp4"
    if contents is None:
        write(path, streams=2)
    else:
        path.write_bytes(contents)

    with pytest.raises(EvaluationError, match=r"a\.stem\.mp4.*write it again"):
        probe(path / "drums")
    with pytest.raises(SongError, match=r"a\.stem\.mp4"):
        wav.header(path / "drums")


@pytest.mark.process
def test_scoring_wav_files_needs_no_pyav() -> None:
    program = (
        "import sys\n"
        "sys.modules['av'] = None\n"
        "from pathlib import Path\n"
        "from demixing.evaluation import dataset, scoring, stem_streams\n"
        "try:\n"
        "    stem_streams.probe(Path('a.stem.mp4/drums'))\n"
        "except OSError as error:\n"
        "    assert 'pip install av' in str(error)\n"
        "else:\n"
        "    raise AssertionError\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.engine
def test_a_mixture_that_is_not_the_sum_is_only_a_note(musdb: Path, tmp_path: Path) -> None:
    """Each stream is encoded on its own, and MUSDB18's mixtures may be mastered."""
    found = check.check([musdb / "test"], cache=tmp_path).findings

    assert [(one.kind, one.fault) for one in found if one.kind == "sum"] == [("sum", False)]
