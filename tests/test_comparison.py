"""Systems are compared song by song, and by active references only."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demixing.evaluation.audio import Layout
from demixing.evaluation.comparison import difference, differences
from demixing.evaluation.scoring import SongScore
from demixing.evaluation.songs import STEMS
from demixing.evaluation.summary import Summary, summarise
from evaluator.__main__ import main

MDX = STEMS["mdx"]


def summary(scores: Mapping[str, float], silent: tuple[str, ...] = ()) -> Summary:
    """All stems of a song have the same score; ``silent`` names songs without vocals."""
    return summarise(
        [
            SongScore(
                name=name,
                stems_db=dict.fromkeys(MDX, score) | ({"vocals": -80.0} if name in silent else {}),
                silent=("vocals",) if name in silent else (),
                layout=Layout(44_100, 2, 100),
                levels_dbfs=dict.fromkeys(MDX, -20.0),
            )
            for name, score in scores.items()
        ],
        "mdx",
    )


def test_songs_are_compared_with_themselves() -> None:
    """The songs differ by 20 dB, and the systems by 1 dB in each: that is certain."""
    first = summary({"a": 0.0, "b": 20.0, "c": 10.0})
    second = summary({"a": 1.0, "b": 21.0, "c": 11.0})

    mean, stems = differences(first, second)

    assert mean is not None
    assert mean.mean_db == pytest.approx(1)
    assert mean.interval_db == pytest.approx((1, 1))
    assert (mean.better, mean.songs) == (3, 3)
    assert stems["bass"] == mean


def test_a_silent_reference_does_not_count() -> None:
    first = summary({"a": 1.0, "b": 2.0})
    second = summary({"a": 1.0, "b": 3.0}, silent=("a",))

    mean, stems = differences(summary({"a": 1.0, "b": 2.0}, silent=("a",)), second)

    assert mean is not None
    assert mean.mean_db == pytest.approx(0.5)
    assert stems["vocals"] is not None
    assert stems["vocals"].mean_db == pytest.approx(1)
    assert stems["vocals"].songs == 1
    assert stems["vocals"].interval_db is None
    with pytest.raises(ValueError, match="same songs"):
        differences(first, summary({"a": 1.0}))


def test_the_interval_is_that_of_the_mean(rng: np.random.Generator) -> None:
    """Compared with the normal distribution, which 400 songs come close to."""
    gains = rng.normal(0.5, 2, 400)

    found = difference(list(gains))

    assert found is not None
    assert found.interval_db is not None
    half = 1.96 * gains.std() / 20
    assert found.interval_db == pytest.approx(
        (gains.mean() - half, gains.mean() + half), abs=0.1 * half
    )
    assert found == difference(list(gains))


def test_no_songs_have_no_difference() -> None:
    assert difference([]) is None


@pytest.fixture
def systems(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Two songs, a system with much noise, and one with little."""
    for song in ("a", "b"):
        for stem in MDX:
            true = 0.1 * rng.standard_normal((2000, 2))
            for folder, noise in (("true", 0.0), ("poor", 0.1), ("good", 0.01)):
                path = tmp_path / folder / song / f"{stem}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                audio = true + noise * rng.standard_normal((2000, 2))
                soundfile.write(path, audio, 44_100, "FLOAT")
    return tmp_path


def test_the_command_prints_means_and_differences(
    systems: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = systems / "report.json"
    words = [str(systems / name) for name in ("true", "poor", "good")]

    with pytest.raises(SystemExit) as ended:
        main(["compare", *words, "--json", str(report)])

    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["system", "MEAN", "active", *MDX]
    good = next(line for line in lines if "[" in line)
    assert good.startswith(words[2])
    assert good.count("2/2") == 5
    table = json.loads(report.read_text())
    assert table["differences"][words[2]]["mean"]["mean_db"] == pytest.approx(20, abs=0.5)
    assert table["systems"][words[1]]["mean_db"] == pytest.approx(0, abs=0.5)


def test_one_system_cannot_be_compared(systems: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(systems / "true"), str(systems / "poor")])

    assert ended.value.code == 2
    assert "two folders of estimates or more" in capsys.readouterr().err
