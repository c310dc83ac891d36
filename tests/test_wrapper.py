"""AIcrowd's wrapper: the grader's files on one side, the model on the other."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from demixing.errors import ConfigError, OutputError, SongError
from demixing.recipes import reading, tracks
from my_submission.aicrowd_wrapper import AIcrowdWrapper, main

ROOT = Path(__file__).parents[1]
MDX = ("bass", "drums", "other", "vocals")
CDX = ("dialog", "effect", "music")

WriteSong = Callable[..., Path]
Answer = tuple[dict[str, NDArray[Any]], dict[str, int]]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    (tmp_path / "dataset").mkdir()
    return tmp_path / "dataset"


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    (tmp_path / "shared" / "predictions").mkdir(parents=True)
    return tmp_path / "shared" / "predictions"


@pytest.fixture
def server(
    dataset: Path, predictions: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Set the variables that AIcrowd sets, and a recipe that takes no time."""

    def start(track: str) -> None:
        monkeypatch.setenv("AICROWD_DATASET_DIR", str(dataset))
        monkeypatch.setenv("AICROWD_PUBLIC_SHARED_DIR", str(predictions.parent))
        monkeypatch.setenv(tracks.TRACK_VARIABLE, track)
        monkeypatch.setenv(reading.RECIPE_VARIABLE, f"{track}_equal_shares")

    return start


@pytest.fixture
def wrapper(server: Callable[[str], None]) -> AIcrowdWrapper:
    server("mdx")
    return AIcrowdWrapper()


@pytest.fixture
def cdx_wrapper(server: Callable[[str], None]) -> AIcrowdWrapper:
    server("cdx")
    return AIcrowdWrapper()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def good(mixture: NDArray[np.float64], rate: int) -> Answer:
    return {stem: mixture.astype(np.float32) for stem in MDX}, dict.fromkeys(MDX, rate)


class Fake:
    """A model whose output is corrupted before it is returned."""

    def __init__(self, spoil: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
        self.spoil = spoil

    def separate_music_file(self, mixture: NDArray[np.float64], rate: int) -> Answer:
        arrays, rates = good(mixture, rate)
        self.spoil(arrays, rates)
        return arrays, rates


# MDX


@pytest.mark.parametrize("channels", [1, 2])
def test_a_song_becomes_four_16_bit_files_of_its_shape(
    write_song: WriteSong, wrapper: AIcrowdWrapper, predictions: Path, channels: int
) -> None:
    mixture, rate_hz = soundfile.read(
        write_song("dataset/song/mixture.wav", samples=3001, channels=channels)
    )

    assert wrapper.separate_music_file("song") is True

    assert files(predictions) == {f"song/{stem}.wav" for stem in MDX}
    for stem in MDX:
        path = predictions / "song" / f"{stem}.wav"
        assert (soundfile.info(path).format, soundfile.info(path).subtype) == ("WAV", "PCM_16")
        found, found_hz = soundfile.read(path)
        assert (found.shape, found_hz) == (mixture.shape, rate_hz)
        np.testing.assert_allclose(found, mixture / 4, atol=2**-15)


@pytest.mark.parametrize("name", ["絆 🎵", "100 %s", "two\nlines", os.fsdecode(b"caf\xe9")])
def test_a_song_may_have_any_name(
    write_song: WriteSong, wrapper: AIcrowdWrapper, dataset: Path, predictions: Path, name: str
) -> None:
    write_song("dataset/song/mixture.wav")
    (dataset / "song").rename(dataset / name)

    assert wrapper.separate_music_file(name) is True

    assert files(predictions) == {f"{name}/{stem}.wav" for stem in MDX}


def test_a_second_run_replaces_the_files_of_the_first(
    write_song: WriteSong, wrapper: AIcrowdWrapper, predictions: Path
) -> None:
    for samples in (500, 700):
        write_song("dataset/song/mixture.wav", samples=samples)
        wrapper.separate_music_file("song")

    assert soundfile.info(predictions / "song" / "bass.wav").frames == 700
    assert files(predictions) == {f"song/{stem}.wav" for stem in MDX}


def test_a_missing_mixture_is_one_sentence(wrapper: AIcrowdWrapper, predictions: Path) -> None:
    with pytest.raises(SongError, match=r"expected an audio file at .*mixture\.wav, but there is"):
        wrapper.separate_music_file("nowhere")

    assert not files(predictions)


def test_a_mixture_that_is_not_finite_is_refused(
    write_song: WriteSong, wrapper: AIcrowdWrapper, predictions: Path
) -> None:
    bad = np.full((10, 2), np.inf)
    write_song("dataset/song/mixture.wav", audio=bad, subtype="FLOAT")

    with pytest.raises(SongError, match="got inf at sample 0 of channel 0"):
        wrapper.separate_music_file("song")

    assert not list(predictions.iterdir())


# CDX


def test_a_clip_of_two_mono_files_becomes_three_stereo_files(
    write_song: WriteSong, cdx_wrapper: AIcrowdWrapper, predictions: Path
) -> None:
    halves = [
        soundfile.read(write_song(f"dataset/clip/clip_mixture_{side}.wav", channels=1))[0]
        for side in ("Lt", "Rt")
    ]

    assert cdx_wrapper.separate_music_file("clip") is True

    assert files(predictions) == {f"clip/clip_{stem}.wav" for stem in CDX}
    for stem in CDX:
        found, _ = soundfile.read(predictions / "clip" / f"clip_{stem}.wav")
        np.testing.assert_allclose(found, np.stack(halves, axis=1) / 3, atol=2**-15)


@pytest.mark.parametrize(
    "right", [{"samples": 999}, {"sample_rate_hz": 48_000}, {"channels": 2}], ids=str
)
def test_halves_that_do_not_match_are_refused(
    write_song: WriteSong, cdx_wrapper: AIcrowdWrapper, right: dict[str, int], predictions: Path
) -> None:
    write_song("dataset/clip/clip_mixture_Lt.wav", channels=1)
    write_song("dataset/clip/clip_mixture_Rt.wav", **{"channels": 1, **right})

    with pytest.raises(SongError, match="expected two mono files of the same length and rate"):
        cdx_wrapper.separate_music_file("clip")

    assert not files(predictions)


def test_a_clip_with_one_half_is_refused(
    write_song: WriteSong, cdx_wrapper: AIcrowdWrapper
) -> None:
    write_song("dataset/clip/clip_mixture_Lt.wav", channels=1)

    with pytest.raises(SongError, match=r"clip_mixture_Rt\.wav, but there is none"):
        cdx_wrapper.separate_music_file("clip")


# Folders and variables


def test_the_folders_may_be_arguments(
    write_song: WriteSong,
    server: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server("mdx")
    monkeypatch.delenv("AICROWD_DATASET_DIR")
    monkeypatch.delenv("AICROWD_PUBLIC_SHARED_DIR")
    write_song("songs/song/mixture.wav")
    (tmp_path / "here").mkdir()

    AIcrowdWrapper(
        dataset_dir=str(tmp_path / "songs"), predictions_dir=str(tmp_path / "here")
    ).separate_music_file("song")

    assert files(tmp_path / "here") == {f"song/{stem}.wav" for stem in MDX}


def test_the_environment_overrides_the_arguments(
    server: Callable[[str], None], dataset: Path, predictions: Path
) -> None:
    server("mdx")

    wrapper = AIcrowdWrapper(dataset_dir="elsewhere", predictions_dir="nowhere")

    assert (wrapper.dataset_dir, wrapper.predictions_dir) == (str(dataset), str(predictions))


@pytest.mark.parametrize("missing", ["dataset", "shared/predictions"])
def test_a_missing_folder_is_one_sentence(
    server: Callable[[str], None], tmp_path: Path, missing: str
) -> None:
    server("mdx")
    (tmp_path / missing).rmdir()

    with pytest.raises(ConfigError, match=rf"expected the folder .*{missing} to exist"):
        AIcrowdWrapper()


def test_a_recipe_of_the_other_track_is_refused(
    server: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    server("mdx")
    monkeypatch.setenv(reading.RECIPE_VARIABLE, "cdx_silence")

    with pytest.raises(ConfigError, match="is for the track 'cdx', but the submission goes to"):
        AIcrowdWrapper()


# Models that break the contract


SPOILT: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], object], str]] = {
    "a stem too few": (lambda arrays, _: arrays.pop("bass"), "expected the stems"),
    "a stem too many": (lambda arrays, _: arrays.update(piano=arrays["bass"]), "the stems"),
    "no rate": (lambda _, rates: rates.pop("bass"), "expected the stems"),
    "another rate": (lambda _, rates: rates.update(bass=48_000), "the mixture's 44100 Hz, got 48"),
    "a sample short": (lambda arrays, _: arrays.update(bass=arrays["bass"][1:]), r"\(999, 2\)"),
    "transposed": (lambda arrays, _: arrays.update(bass=arrays["bass"].T), r"\(2, 1000\)"),
    "mono": (lambda arrays, _: arrays.update(bass=arrays["bass"][:, 0]), r"\(1000,\)"),
    "float16": (lambda arrays, _: arrays.update(bass=arrays["bass"].astype("f2")), "float16"),
    "integers": (lambda arrays, _: arrays.update(bass=arrays["bass"].astype("i2")), "int16"),
    "NaN": (lambda arrays, _: arrays["bass"].fill(np.nan), "expected bass to be finite"),
    "infinity": (lambda arrays, _: arrays["bass"].fill(np.inf), "expected bass to be finite"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT.keys())
def test_output_that_violates_the_contract_is_refused(
    write_song: WriteSong,
    wrapper: AIcrowdWrapper,
    predictions: Path,
    spoil: Callable[[dict[str, Any], dict[str, Any]], object],
    message: str,
) -> None:
    write_song("dataset/song/mixture.wav", samples=1000)
    wrapper.model = Fake(spoil)  # type: ignore[assignment]

    with pytest.raises(OutputError, match=message):
        wrapper.separate_music_file("song")

    assert not list(predictions.iterdir())


def test_output_that_keeps_the_contract_is_written(
    write_song: WriteSong, wrapper: AIcrowdWrapper, predictions: Path
) -> None:
    write_song("dataset/song/mixture.wav", samples=1000)
    wrapper.model = Fake(lambda arrays, rates: None)  # type: ignore[assignment]

    assert wrapper.separate_music_file("song") is True

    assert files(predictions) == {f"song/{stem}.wav" for stem in MDX}


def test_a_stem_that_cannot_be_written_leaves_none(
    write_song: WriteSong, wrapper: AIcrowdWrapper, predictions: Path
) -> None:
    write_song("dataset/song/mixture.wav")
    (predictions / "song" / "other.wav").mkdir(parents=True)

    with pytest.raises(OutputError, match=r"other\.wav is a folder"):
        wrapper.separate_music_file("song")

    assert not files(predictions)


def test_errors_are_reported_like_aicrowds(wrapper: AIcrowdWrapper) -> None:
    with pytest.raises(NameError, match="no luck"):
        wrapper.raise_aicrowd_error("no luck")


# The loop over a data set


def stray(dataset: Path) -> None:
    (dataset / ".DS_Store").write_text("stray")
    (dataset / "README.md").write_text("stray")
    (dataset / ".hidden").mkdir()


def test_the_loop_separates_all_songs_and_skips_stray_files(
    write_song: WriteSong, server: Callable[[str], None], dataset: Path, predictions: Path
) -> None:
    server("mdx")
    stray(dataset)
    for song in ("a", "b"):
        write_song(f"dataset/{song}/mixture.wav")
        (dataset / song / ".DS_Store").write_text("stray")

    main()

    assert files(predictions) == {f"{song}/{stem}.wav" for song in "ab" for stem in MDX}


def module(**variables: str | Path) -> subprocess.CompletedProcess[str]:
    settings: Iterable[tuple[str, str]] = ((key, str(value)) for key, value in variables.items())
    return subprocess.run(
        [sys.executable, "-m", "my_submission.aicrowd_wrapper"],
        cwd=ROOT,
        env=os.environ | dict(settings),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.process
def test_the_module_runs_on_the_server(
    write_song: WriteSong, dataset: Path, predictions: Path
) -> None:
    stray(dataset)
    write_song("dataset/a/a_mixture_Lt.wav", channels=1)
    write_song("dataset/a/a_mixture_Rt.wav", channels=1)
    (dataset / "b").mkdir()

    done = module(
        AICROWD_DATASET_DIR=dataset,
        AICROWD_PUBLIC_SHARED_DIR=predictions.parent,
        DEMIX_TRACK="cdx",
        DEMIX_RECIPE="cdx_silence",
    )

    assert files(predictions) == {f"a/a_{stem}.wav" for stem in CDX}
    assert done.returncode == 2  # b has no mixture
    *_, last = done.stderr.splitlines()
    assert last.startswith("error: expected an audio file at ")
    assert "Traceback" not in done.stderr
