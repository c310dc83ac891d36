"""The interface of the 2021 edition."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from demixing.errors import ConfigError, OutputError, SongError
from demixing.recipes import reading
from my_submission.mdx21 import Mdx21Predictor
from my_submission.predictor import Predictor

ROOT = Path(__file__).parents[1]
STEMS = ("bass", "drums", "other", "vocals")

WriteSong = Callable[..., Path]


class Grader:
    """Calls like the server's base class: by keyword, without the name of the song."""

    def prediction_setup(self) -> None:
        raise AssertionError("the submission must come before the base class")

    def prediction(
        self, music_name: str, mixture_file_path: str, **paths: str
    ) -> Any:  # pragma: no cover
        raise AssertionError("the submission must come before the base class")

    def run(self, mixture: Path, results: Path) -> None:
        self.prediction_setup()
        paths = {f"{stem}_file_path": str(results / f"{stem}.wav") for stem in STEMS}
        self.prediction(mixture_file_path=str(mixture), **paths)


class Submission(Mdx21Predictor, Grader):  # type: ignore[misc]
    """As participants write it."""


@pytest.fixture(autouse=True)
def equal_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(reading.RECIPE_VARIABLE, "mdx_equal_shares")


@pytest.fixture
def predictor() -> Mdx21Predictor:
    ready = Mdx21Predictor()
    ready.prediction_setup()
    return ready


def predict(predictor: Mdx21Predictor, mixture: Path, targets: dict[str, Path]) -> None:
    paths = {f"{stem}_file_path": str(path) for stem, path in targets.items()}
    predictor.prediction(mixture_file_path=str(mixture), **paths)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_graders_loop_gets_16_bit_files_in_a_folder_that_did_not_exist(
    write_song: WriteSong, tmp_path: Path
) -> None:
    mixture = write_song(samples=3000)
    results = tmp_path / "results" / "song"

    Submission().run(mixture, results)

    assert files(results) == {f"{stem}.wav" for stem in STEMS}
    expected, _ = soundfile.read(mixture)
    for stem in STEMS:
        assert soundfile.info(results / f"{stem}.wav").subtype == "PCM_16"
        found, rate_hz = soundfile.read(results / f"{stem}.wav")
        assert rate_hz == 44_100
        np.testing.assert_allclose(found, expected / 4, atol=2**-15)


def test_the_name_of_the_song_is_optional(
    write_song: WriteSong, tmp_path: Path, predictor: Mdx21Predictor
) -> None:
    paths = {f"{stem}_file_path": str(tmp_path / "out" / f"{stem}.wav") for stem in STEMS}

    predictor.prediction(music_name="x", mixture_file_path=str(write_song()), **paths)

    assert files(tmp_path / "out") == {f"{stem}.wav" for stem in STEMS}


def test_every_stem_may_have_a_folder_of_its_own(
    write_song: WriteSong, tmp_path: Path, predictor: Mdx21Predictor
) -> None:
    results = tmp_path / "results"
    targets = {stem: results / stem / "song.wav" for stem in STEMS}

    predict(predictor, write_song(), targets)

    assert files(results) == {f"{stem}/song.wav" for stem in STEMS}


def test_a_song_that_fails_leaves_nothing_in_any_folder(
    write_song: WriteSong, tmp_path: Path, predictor: Mdx21Predictor
) -> None:
    mixture = write_song(audio=np.full((10, 2), np.nan), subtype="FLOAT")
    targets = {stem: tmp_path / "results" / stem / "song.wav" for stem in STEMS}

    with pytest.raises(SongError, match="got nan at sample 0 of channel 0"):
        predict(predictor, mixture, targets)

    assert not (tmp_path / "results").exists()


def test_one_target_that_cannot_be_written_stops_all(
    write_song: WriteSong, tmp_path: Path, predictor: Mdx21Predictor
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "vocals").write_text("a file")
    targets = {stem: tmp_path / "results" / stem / "song.wav" for stem in STEMS}

    with pytest.raises(OutputError, match=r"to .*/results/vocals: File exists$"):
        predict(predictor, write_song(), targets)

    assert files(tmp_path / "results") == {"vocals"}
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"vocals"}


@pytest.mark.parametrize(
    ("seconds", "timeout", "budget_s"),
    [(10, None, 0.85 * 15.7), (200, None, 0.85 * 240), (200, "100", 85), (10, "2", 1.7)],
)
def test_the_limits_of_2021_are_kept(
    write_song: WriteSong,
    tmp_path: Path,
    predictor: Mdx21Predictor,
    monkeypatch: pytest.MonkeyPatch,
    seconds: int,
    timeout: str | None,
    budget_s: float,
) -> None:
    if timeout is not None:
        monkeypatch.setenv("INFERENCE_PER_MUSIC_TIMEOUT_SECONDS", timeout)
    budgets = []
    real = Predictor.separate_within

    def note(self: Predictor, budget_s: float, *rest: Any) -> Any:
        budgets.append(budget_s)
        return real(self, budget_s, *rest)

    monkeypatch.setattr(Predictor, "separate_within", note)
    mixture = write_song(samples=seconds * 8000, sample_rate_hz=8000)

    predict(predictor, mixture, {stem: tmp_path / "out" / f"{stem}.wav" for stem in STEMS})

    assert budgets == pytest.approx([budget_s])


@pytest.mark.parametrize("timeout", ["soon", "0", "nan"])
def test_a_limit_must_be_a_positive_number(
    write_song: WriteSong,
    tmp_path: Path,
    predictor: Mdx21Predictor,
    monkeypatch: pytest.MonkeyPatch,
    timeout: str,
) -> None:
    monkeypatch.setenv("INFERENCE_PER_MUSIC_TIMEOUT_SECONDS", timeout)

    with pytest.raises(ConfigError, match="to be a positive number"):
        predict(predictor, write_song(), {stem: tmp_path / f"{stem}.wav" for stem in STEMS})


KIT = """
import os

class MusicDemixingPredictor:
    def prediction_setup(self):
        raise NotImplementedError

    def run(self):
        self.prediction_setup()
        song = os.environ["SONG"]
        stems = ("bass", "drums", "other", "vocals")
        paths = {f"{stem}_file_path": f"{stem}.wav" for stem in stems}
        self.prediction(mixture_file_path=song, **paths)
"""
"""As the server's base class, which passes no name of the song."""


@pytest.mark.process
def test_the_documented_program_starts_beside_the_kits_package(
    tmp_path: Path, write_song: WriteSong
) -> None:
    text = (ROOT / "docs" / "submitting.md").read_text(encoding="utf-8")
    section = text[text.index("`predict.py`:\n") : text.index("Commit both")]
    program = textwrap.dedent(section.partition("\n")[2])
    (tmp_path / "evaluator").mkdir()
    (tmp_path / "evaluator" / "__init__.py").touch()
    (tmp_path / "evaluator" / "music_demixing.py").write_text(KIT, encoding="utf-8")
    (tmp_path / "predict.py").write_text(program, encoding="utf-8")
    for part in ("my_submission", "demixing", "models", "aicrowd.json"):  # but not our evaluator
        (tmp_path / part).symlink_to(ROOT / part)
    song = write_song(samples=4000)

    done = subprocess.run(
        [sys.executable, "predict.py"],
        cwd=tmp_path,
        env={**os.environ, "SONG": str(song), "DEMIX_ISOLATE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert soundfile.info(tmp_path / "vocals.wav").frames == 4000
