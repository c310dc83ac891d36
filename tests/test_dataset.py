"""Any data set is converted to the layout that the grader gives to a submission."""

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demixing.errors import EvaluationError
from demixing.evaluation.dataset import prepare
from demixing.evaluation.songs import STEMS, find_songs

WriteSong = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dataset").mkdir()
    return tmp_path / "dataset"


def prepare_all(data: Path, track: str, folder: Path) -> None:
    for song in find_songs(data, track):
        prepare(song, track, folder)


def sounds(folder: Path) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    return {path.name: soundfile.read(path)[0] for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["wav", "flac", "WAV"])
def test_without_a_mixture_the_sum_of_the_stems_is_used(
    write_song: WriteSong, tmp_path: Path, folder: Path, kind: str
) -> None:
    for stem in STEMS["mdx"]:
        write_song(f"data/song/{stem}.{kind}", samples=300_000)

    prepare_all(tmp_path / "data", "mdx", folder)

    found = sounds(folder / "song")
    assert found.keys() == {"mixture.wav", *(f"{stem}.{kind.lower()}" for stem in STEMS["mdx"])}
    mixture = found.pop("mixture.wav")
    # Sums of 16-bit samples are exact in 32-bit floats.
    assert np.array_equal(mixture, sum(found.values()))
    assert soundfile.info(folder / "song" / "mixture.wav").subtype == "FLOAT"


def test_a_sum_above_full_scale_is_not_clipped(
    write_song: WriteSong, tmp_path: Path, folder: Path
) -> None:
    for stem in STEMS["mdx"]:
        write_song(f"data/song/{stem}.wav", audio=np.full((10, 2), 0.75))

    prepare_all(tmp_path / "data", "mdx", folder)

    assert np.all(soundfile.read(folder / "song" / "mixture.wav")[0] == 3.0)


def test_files_in_the_right_format_are_linked(
    write_song: WriteSong, tmp_path: Path, folder: Path
) -> None:
    files = [write_song(f"data/song/{name}.wav") for name in ("mixture", *STEMS["mdx"])]

    prepare_all(tmp_path / "data", "mdx", folder)

    for file in files:
        link = folder / "song" / file.name
        assert link.is_symlink()
        assert link.samefile(file)


def test_a_mixture_in_flac_is_written_as_wav(
    write_song: WriteSong, tmp_path: Path, folder: Path
) -> None:
    mixture, *_ = [write_song(f"data/song/{name}.flac") for name in ("mixture", *STEMS["mdx"])]

    prepare_all(tmp_path / "data", "mdx", folder)

    written, _ = soundfile.read(folder / "song" / "mixture.wav")
    assert np.array_equal(written, soundfile.read(mixture)[0])


def test_musdb18_hq_is_found_in_its_test_folder(
    write_song: WriteSong, tmp_path: Path, folder: Path
) -> None:
    for name in ("mixture", *STEMS["mdx"]):
        write_song(f"data/test/A - B/{name}.wav")
        write_song(f"data/train/C - D/{name}.wav")

    prepare_all(tmp_path / "data", "mdx", folder)

    assert [path.name for path in folder.iterdir()] == ["A - B"]


def test_the_cinematic_layout_is_linked(
    write_song: WriteSong, tmp_path: Path, folder: Path
) -> None:
    for side in ("Lt", "Rt"):
        write_song(f"data/clip/clip_mixture_{side}.wav", channels=1)
    for stem in STEMS["cdx"]:
        write_song(f"data/clip/clip_{stem}.wav")

    prepare_all(tmp_path / "data", "cdx", folder)

    names = ("mixture_Lt", "mixture_Rt", *STEMS["cdx"])
    assert {path.name for path in (folder / "clip").iterdir()} == {
        f"clip_{name}.wav" for name in names
    }
    assert all(path.is_symlink() for path in (folder / "clip").iterdir())


@pytest.mark.parametrize("with_mixture", [True, False])
def test_divide_and_remaster_becomes_stereo(
    write_song: WriteSong, tmp_path: Path, folder: Path, with_mixture: bool
) -> None:
    stems = {
        ours: soundfile.read(write_song(f"data/1234/{theirs}.wav", channels=1))[0]
        for ours, theirs in (("dialog", "speech"), ("effect", "sfx"), ("music", "music"))
    }
    mixture = sum(stems.values())
    if with_mixture:
        mixture = soundfile.read(write_song("data/1234/mix.wav", channels=1))[0]

    prepare_all(tmp_path / "data", "cdx", folder)

    found = sounds(folder / "1234")
    assert found.keys() == {
        f"1234_{name}.wav" for name in ("mixture_Lt", "mixture_Rt", *STEMS["cdx"])
    }
    for side in ("Lt", "Rt"):
        assert np.array_equal(found[f"1234_mixture_{side}.wav"], mixture)
    for name, stem in stems.items():
        assert np.array_equal(found[f"1234_{name}.wav"], np.stack([stem, stem], axis=1))


def test_a_stereo_film_mixture_is_split_into_two_files(
    write_song: WriteSong, tmp_path: Path, folder: Path
) -> None:
    mixture, _ = soundfile.read(write_song("data/clip/mix.flac"))
    for stem in STEMS["cdx"]:
        write_song(f"data/clip/{stem}.flac")

    prepare_all(tmp_path / "data", "cdx", folder)

    found = sounds(folder / "clip")
    assert np.array_equal(found["clip_mixture_Lt.wav"], mixture[:, 0])
    assert np.array_equal(found["clip_mixture_Rt.wav"], mixture[:, 1])


def test_an_existing_song_is_kept(write_song: WriteSong, tmp_path: Path, folder: Path) -> None:
    (folder / "song").mkdir()
    for stem in STEMS["mdx"]:
        write_song(f"data/song/{stem}.wav")

    prepare_all(tmp_path / "data", "mdx", folder)

    assert not list((folder / "song").iterdir())


@pytest.mark.parametrize(
    ("track", "spoilt", "how", "message"),
    [
        ("mdx", "vocals", {"samples": 999}, "expected 44100 Hz, 2 channels, 1000 samples"),
        ("mdx", "vocals", {"channels": 1}, "found 44100 Hz, 1 channel, 1000"),
        ("mdx", "vocals", {"sample_rate_hz": 48_000}, "found 48000 Hz"),
        ("mdx", "vocals", {"samples": 0}, "found no samples"),
        ("mdx", "mixture", {"samples": 1001}, "found 44100 Hz, 2 channels, 1001 samples"),
        ("cdx", "music", {"channels": 1}, "found 44100 Hz, 1 channel, 1000"),
        ("cdx", "mix", {"samples": 1001}, "found 44100 Hz, 2 channels, 1001 samples"),
        ("cdx", "mix", {"channels": 3}, "expected one or two channels"),
    ],
    ids=str,
)
def test_files_that_could_not_be_compared_are_refused_early(
    write_song: WriteSong,
    tmp_path: Path,
    folder: Path,
    track: str,
    spoilt: str,
    how: dict[str, int],
    message: str,
) -> None:
    for stem in STEMS[track]:
        write_song(f"data/song/{stem}.wav")
    write_song(f"data/song/{spoilt}.wav", **how)

    with pytest.raises(EvaluationError, match=message):
        prepare_all(tmp_path / "data", track, folder)

    assert not list(folder.iterdir())


def test_a_sum_with_a_bad_sample_leaves_nothing(
    write_song: WriteSong, tmp_path: Path, folder: Path
) -> None:
    for stem in STEMS["mdx"]:
        write_song(f"data/song/{stem}.wav")
    write_song("data/song/vocals.wav", audio=np.full((1000, 2), np.nan), subtype="FLOAT")

    with pytest.raises(EvaluationError, match=r"expected finite samples in .*song/vocals\.wav"):
        prepare_all(tmp_path / "data", "mdx", folder)

    assert not list(folder.iterdir())


def test_a_missing_stem_is_named(write_song: WriteSong, tmp_path: Path, folder: Path) -> None:
    for stem in STEMS["mdx"][:-1]:
        write_song(f"data/song/{stem}.wav")

    with pytest.raises(EvaluationError, match="but 'vocals' is missing"):
        prepare_all(tmp_path / "data", "mdx", folder)

    assert not list(folder.iterdir())


def test_a_full_disk_leaves_nothing(write_song: WriteSong, tmp_path: Path, folder: Path) -> None:
    for stem in STEMS["mdx"]:
        write_song(f"data/song/{stem}.wav", samples=50_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(EvaluationError, match=r"cannot prepare song 'song' .* full\?"):
            prepare_all(tmp_path / "data", "mdx", folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert not list(folder.iterdir())


def test_a_missing_folder_is_one_sentence(write_song: WriteSong, tmp_path: Path) -> None:
    for stem in STEMS["mdx"]:
        write_song(f"data/song/{stem}.wav")

    with pytest.raises(EvaluationError, match="No such file or directory"):
        prepare_all(tmp_path / "data", "mdx", tmp_path / "gone")
