"""Real audio that comes with this package or with a dependency."""

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest
import soundfile

import samples
from demixing.errors import CheckpointError, OutputError
from demixing.evaluation.songs import STEMS, find_songs


def test_the_music_sample_is_decoded_to_its_four_stems(tmp_path: Path) -> None:
    folder = samples.folder("mdx", tmp_path / "cache")

    (song,) = find_songs(folder, "mdx")
    assert song.name == samples.FALCON
    assert tuple(song.stems) == STEMS["mdx"]
    assert song.mixture == ()
    infos = [soundfile.info(path) for path in song.stems.values()]
    assert {(info.samplerate, info.channels, info.subtype) for info in infos} == {
        (44_100, 2, "FLOAT")
    }
    assert {info.frames for info in infos} == {infos[0].frames}
    assert infos[0].duration == pytest.approx(6, abs=1)
    stems = [soundfile.read(path)[0] for path in song.stems.values()]
    assert all(np.abs(stem).max() > 0.01 for stem in stems)
    assert len({stem.tobytes() for stem in stems}) == 4
    assert {peak_time(path) for path in song.stems.values()} == {bytes(4)}


def peak_time(path: Path) -> bytes:
    """The time of day that libsndfile writes into files of floats."""
    at = path.read_bytes().index(b"PEAK") + 12
    return path.read_bytes()[at : at + 4]


def test_the_film_samples_are_complete(tmp_path: Path) -> None:
    songs = find_songs(samples.folder("cdx", tmp_path), "cdx")

    assert len(songs) == 3
    for song in songs:
        assert tuple(song.stems) == STEMS["cdx"]
        infos = [soundfile.info(path) for path in song.stems.values()]
        assert {(info.samplerate, info.channels) for info in infos} == {(44_100, 2)}
        assert {info.frames for info in infos} == {infos[0].frames}
    assert not list(tmp_path.iterdir())


def test_altered_music_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "FALCON_SHA256", "0" * 64)

    with pytest.raises(CheckpointError, match=r"expected the music sample of stempeg .* pip inst"):
        samples.folder("mdx", tmp_path / "cache")

    assert not (tmp_path / "cache").exists()


def test_a_missing_package_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)

    with pytest.raises(CheckpointError, match="stempeg, which is not installed; run: pip install"):
        samples.folder("mdx", tmp_path)


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(OutputError, match=r"cannot write the music sample to .*: Not a directory"):
        samples.folder("mdx", tmp_path / "file")
