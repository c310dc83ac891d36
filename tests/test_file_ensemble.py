"""``demixing ensemble``: files of any program become one, and the gain is measured."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from demixing.cli.main import main
from demixing.evaluation.metrics.sdr import sdr

pytestmark = pytest.mark.engine

WriteSong = Callable[..., Path]
SAMPLES = 300_000
"""More than one block."""


@pytest.fixture
def estimates(write_song: WriteSong) -> list[Path]:
    return [write_song(f"{name}.wav", samples=SAMPLES, subtype="FLOAT") for name in "abcd"]


def ensemble(out: Path, *words: object) -> int:
    return main(["ensemble", "-o", str(out), *map(str, words)])


def audio(*paths: Path) -> NDArray[np.float64]:
    return np.stack([soundfile.read(path)[0] for path in paths])


def test_a_mean(estimates: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "mean.wav"

    assert ensemble(out, *estimates) == 0

    np.testing.assert_allclose(audio(out)[0], audio(*estimates).mean(axis=0), atol=1e-7)
    assert capsys.readouterr().out == f"{out}\n"


def test_a_weighted_mean(estimates: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "mean.wav"

    assert ensemble(out, *estimates, "--weights", "3,1,0,0") == 0

    expected = np.average(audio(*estimates), axis=0, weights=[3, 1, 0, 0])
    np.testing.assert_allclose(audio(out)[0], expected, atol=1e-7)


@pytest.mark.parametrize("count", [3, 4])
def test_a_median(estimates: list[Path], tmp_path: Path, count: int) -> None:
    out = tmp_path / "median.wav"

    assert ensemble(out, *estimates[:count], "--median") == 0

    expected = np.median(audio(*estimates[:count]), axis=0)
    np.testing.assert_allclose(audio(out)[0], expected, atol=1e-7)


def test_the_gain_is_the_official_sdr(
    write_song: WriteSong, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    true = 0.1 * rng.standard_normal((SAMPLES, 2))
    names = [f"{number}.wav" for number in range(3)]
    noisy = [true + 0.05 * rng.standard_normal(true.shape) for _ in names]
    files = [
        write_song(name, audio=one, subtype="FLOAT") for name, one in zip(names, noisy, strict=True)
    ]
    reference = write_song("true.wav", audio=true, subtype="FLOAT")
    out = tmp_path / "e.wav"

    assert ensemble(out, *files, "--reference", reference, "--json") == 0

    found = json.loads(capsys.readouterr().out)
    expected = [sdr(audio(reference), audio(path))[0] for path in (*files, out)]
    assert list(found["sdr_db"].values()) == pytest.approx(expected[:-1], abs=1e-4)
    assert found["ensemble_sdr_db"] == pytest.approx(expected[-1], abs=1e-4)
    assert found["gain_db"] == pytest.approx(expected[-1] - max(expected[:-1]), abs=1e-4)
    assert 4 < found["gain_db"] < 5  # a third of the noise's power

    assert ensemble(out, *files, "--reference", reference, "--overwrite") == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[4] == f"{expected[-1]:8.3f} dB  {out}"


def test_names_of_scored_files_are_not_obeyed_by_the_terminal(
    estimates: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clears = estimates[0].rename(tmp_path / "a\x1b[2J.wav")

    assert ensemble(tmp_path / "e.wav", clears, estimates[1], "--reference", estimates[2]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("a\\x1b[2J.wav")
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": SAMPLES - 1}, f"expected {SAMPLES} samples as in"),
        ({"samples": SAMPLES, "channels": 1}, "expected 2 channels as in"),
        ({"samples": SAMPLES, "sample_rate_hz": 48_000}, "expected 44100 Hz as in"),
    ],
)
def test_files_that_differ_are_refused(
    estimates: list[Path],
    write_song: WriteSong,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, int],
    message: str,
) -> None:
    other = write_song("other.wav", **changes)

    assert ensemble(tmp_path / "out" / "e.wav", estimates[0], other) == 2

    said = capsys.readouterr().err
    assert message in said
    assert str(other) in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.wav"], "at least 2 files for an ensemble, got 1"),
        (["a.wav", "b.wav", "--median"], "at least 3 files for a median, got 2"),
        (["a.wav", "b.wav", "--weights", "1"], "a weight for each of 2 files, got 1"),
        (["a.wav", "b.wav", "--weights", "1,-1"], "expected weights of 0 or more"),
        (["a.wav", "b.wav", "--weights", "0,0"], "expected weights of 0 or more"),
        (["a.wav", "b.wav", "--weights", "nan,1"], "expected weights of 0 or more"),
        (["a.wav", "b.wav", "--weights", "1;1"], "expected --weights like 2,1,1"),
        (["a.wav", "b.wav", "c.wav", "--median", "--weights", "1,1,1"], "a median has no weights"),
        (["a.wav", "b.wav", "-o", "e.txt"], "to end with .wav, .flac"),
        (["a.wav", "b.wav", "-o", "a.wav", "--overwrite"], "both an input and the output"),
        (["a.wav", "b.wav", "-o", "b.wav"], "already exists"),
    ],
)
@pytest.mark.usefixtures("estimates")
def test_a_wrong_option_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    assert ensemble(Path("e.wav"), *words) == 2

    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert message in said
    assert {path.name for path in tmp_path.iterdir()} == {"a.wav", "b.wav", "c.wav", "d.wav"}
