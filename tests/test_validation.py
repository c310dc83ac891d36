"""What a run's validation scores, when it is the best, and when it ends the run."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from demixing.errors import ConfigError, SongError
from demixing.training import checkpoint, loop, setup, validation
from demixing.training.config import Run, updated
from demixing.training.distributed import Processes
from demixing.training.validation import Scores, ValidSong

pytestmark = pytest.mark.engine

STEMS = ("drums", "bass")
SMALL = {
    "stems": list(STEMS),
    "samples": 4096,
    "batch": 1,
    "workers": 0,
    "steps": 3,
    "network": {"name": "band_split", "options": {"features": 4, "layers": 1, "chunk_s": 0.5}},
    "validation": {"every_steps": 1},
    "augmentations": [],
}


def write_song(folder: Path, *, rate_hz: int = 44_100, level: float = 0.1, seed: int = 0) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for stem in STEMS:
        audio = level * rng.standard_normal((rate_hz, 2))
        soundfile.write(folder / f"{stem}.wav", audio, rate_hz)


def small(folder: Path, *valid: str) -> Run:
    """A run of the songs in ``folder/songs``, and folders for validation below ``folder``."""
    if not (folder / "songs").exists():
        write_song(folder / "songs" / "song")
    data = {
        "train": [str(folder / "songs")],
        "valid": [str(folder / one) for one in valid or ["songs"]],
    }
    return updated(updated(Run(), SMALL), {"data": data})


def lines(run: Run, folder: Path) -> list[str]:
    return list(loop.train(run, folder, Processes(0, 1, torch.device("cpu"))))


@pytest.fixture
def means_db(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Scores of the next validations, to be filled by a test, in place of measured ones."""
    given: list[float] = []
    left: Iterator[float] = iter(given)

    def score(_network: object, songs: list[ValidSong], stems: tuple[str, ...]) -> Scores:
        value = next(left)
        return Scores(
            {one.name: dict.fromkeys(stems, value) for one in songs},
            {one.name: one.folder for one in songs},
        )

    monkeypatch.setattr(validation, "score", score)
    return given


def test_songs_of_the_same_name_in_two_folders_are_all_scored(tmp_path: Path) -> None:
    for seed, folder in enumerate(("one", "two")):
        for number in range(1 + seed):
            song = tmp_path / folder / "valid" / f"song_{number}"
            write_song(song, seed=10 * seed + number)
    run = small(tmp_path, "one/valid", "two/valid")

    scores = validation.score(setup.built(run).eval(), setup.valid_songs(run), STEMS)

    assert list(scores.songs) == ["1_valid/song_0", "2_valid/song_0", "2_valid/song_1"]
    for stem, mean_db in scores.stems().items():
        first, second, third = (one[stem] for one in scores.songs.values())
        assert mean_db == pytest.approx((first + (second + third) / 2) / 2)


def test_a_folder_counts_once_wherever_its_files_are(tmp_path: Path) -> None:
    for number, folder in enumerate(("a", "b")):  # MoisesDB has a folder for each stem
        for stem in (*STEMS, "piano"):
            (tmp_path / "deep" / folder / stem).mkdir(parents=True)
            audio = 0.1 * np.random.default_rng(number).standard_normal((44_100, 2))
            soundfile.write(tmp_path / "deep" / folder / stem / "x.wav", audio, 44_100)
    write_song(tmp_path / "flat" / "c")
    run = small(tmp_path, "deep", "flat")

    found = setup.valid_songs(run)

    assert [(one.folder, one.name) for one in found] == [
        ("deep", "deep/a"),
        ("deep", "deep/b"),
        ("flat", "flat/c"),
    ]


def test_songs_of_another_rate_are_refused(tmp_path: Path) -> None:
    write_song(tmp_path / "other" / "song", rate_hz=48_000)

    with pytest.raises(SongError, match=r"expected 44100 Hz in .*, found 48000 Hz; resample it"):
        lines(small(tmp_path, "other"), tmp_path / "run")


def test_a_run_of_another_rate_than_its_network_is_refused(tmp_path: Path) -> None:
    write_song(tmp_path / "songs" / "song", rate_hz=48_000)
    run = updated(small(tmp_path), {"sample_rate_hz": 48_000})

    with pytest.raises(ConfigError, match=r"must be 44100, the rate of the network 'band_split'"):
        lines(run, tmp_path / "run")


def test_silent_songs_are_refused(tmp_path: Path) -> None:
    write_song(tmp_path / "silent" / "song", level=0)

    with pytest.raises(ConfigError, match="drums or bass is not silent, got none among 1"):
        lines(small(tmp_path, "silent"), tmp_path / "run")


def test_the_mean_without_any_score_is_below_all_others() -> None:
    assert Scores({"a/song": {}}, {"a/song": "a"}).mean() == -math.inf


def test_a_score_that_is_no_number_is_never_the_best(tmp_path: Path, means_db: list[float]) -> None:
    means_db += [math.nan, 2.0, math.nan]

    lines(small(tmp_path), tmp_path / "run")

    assert checkpoint.contents(tmp_path / "run" / loop.BEST)["step"] == 2
    progress = checkpoint.contents(tmp_path / "run" / checkpoint.STATE)["progress"]
    assert (progress["best_db"], progress["best_step"], progress["worse"]) == (2.0, 2, 1)


def test_a_run_whose_best_score_was_no_number_gets_another(
    tmp_path: Path, means_db: list[float]
) -> None:
    means_db += [1.0, 0.0]
    run, folder = small(tmp_path), tmp_path / "run"
    lines(updated(run, {"steps": 1}), folder)
    state = checkpoint.contents(folder / checkpoint.STATE)
    state["progress"]["best_db"] = math.nan  # as earlier versions wrote it
    checkpoint.write(folder / checkpoint.STATE, state)

    lines(updated(run, {"steps": 2}), folder)

    assert checkpoint.contents(folder / loop.BEST)["step"] == 2


def test_a_run_that_patience_has_ended_stays_so(tmp_path: Path, means_db: list[float]) -> None:
    means_db += [2.0, 1.0, 3.0]
    run, folder = small(tmp_path), tmp_path / "run"
    patient = updated(run, {"validation": {"patience": 1}})
    assert lines(patient, folder)[-1] == "no better score since step 1: ended"

    again = lines(patient, folder)

    assert again == ["resuming after step 2 of 3", "no better score since step 1: ended"]
    assert checkpoint.contents(folder / checkpoint.STATE)["progress"]["step"] == 2
    lines(run, folder)  # without patience, it goes on
    assert checkpoint.contents(folder / checkpoint.STATE)["progress"]["step"] == 3


def test_a_run_without_songs_for_validation_says_what_will_be_exported(tmp_path: Path) -> None:
    run = updated(small(tmp_path), {"data": {"valid": []}, "save_every_steps": 1})

    said = lines(run, tmp_path / "run")

    assert [one for one in said if loop.BEST in one] == said[:1]
    assert "data.valid" in said[0]
    assert "demixing export will use the average of the last checkpoint" in said[0]
    assert not (tmp_path / "run" / loop.BEST).exists()
    assert loop.BEST not in lines(small(tmp_path), tmp_path / "other")[0]
