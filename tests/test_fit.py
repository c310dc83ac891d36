"""Fitting finds the best weights, and reports their gains without bias."""

import argparse
import dataclasses
import errno
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from demixing import separators
from demixing.cli.main import main
from demixing.evaluation.metrics.sdr import sdr
from demixing.recipes import reading
from demixing.separator import Chunking
from demixing.training.fitting.blending import Method, fit, mean_db, plain_mean, sdr_db
from demixing.training.fitting.fit import methods_of
from demixing.training.fitting.gates import Example, of_examples
from demixing.training.fitting.groups import shares_of
from demixing.training.fitting.song_gram import MIXTURE, SongGram, signal_name
from demixing.training.fitting.writing import MARK, write
from tests.left_out import left_out_db

pytestmark = pytest.mark.engine

SIGNALS = ("a/dialog", "b/dialog", MIXTURE, "dialog")


def made(
    seed: int,
    *,
    noise: tuple[float, float] = (0.5, 1.0),
    scale: float = 1.0,
    folder: str = "one",
) -> SongGram:
    """A song whose two estimates are the stem with independent noise; the mixture has more."""
    rng = np.random.default_rng(seed)
    stem = rng.standard_normal(20_000)
    rows = [stem + level * rng.standard_normal(20_000) for level in (*noise, 2.0)]
    signals = scale * np.stack([*rows, stem])
    return SongGram(SIGNALS, (signals @ signals.T)[None], song=f"song{seed}", folder=folder)


def test_the_weights_match_the_theory() -> None:
    songs = [made(seed) for seed in range(4)]

    weights = fit(songs, "dialog", ["a/dialog", "b/dialog"], Method(ridges=(1e-6,)))

    # Independent noise: weights follow the inverse variances 4, 1 and 1/4; the stem has 1.
    expected = np.array([4, 1, 0.25]) / (1 + 4 + 1 + 0.25)
    np.testing.assert_allclose(list(weights.values()), expected, atol=0.02)


def test_a_ridge_pulls_towards_the_plain_mean() -> None:
    songs = [made(seed) for seed in range(4)]

    weights = fit(songs, "dialog", ["a/dialog", "b/dialog"], Method(ridges=(1e6,)))

    np.testing.assert_allclose(list(weights.values()), [0.5, 0.5, 0.0], atol=1e-3)


def test_songs_have_equal_weight_at_any_level() -> None:
    answers = ["a/dialog", "b/dialog"]
    quiet, loud = made(0, noise=(0.5, 1.0)), made(1, noise=(1.0, 0.5), scale=100.0)

    fair = fit([quiet, loud], "dialog", answers, Method(ridges=(1e-6,)))
    plain = fit([quiet, loud], "dialog", answers, Method(ridges=(1e-6,), mean_of_db=False))

    assert fair["a/dialog"] == pytest.approx(fair["b/dialog"], abs=0.05)
    assert plain["b/dialog"] > 2 * plain["a/dialog"]
    both = [mean_db([quiet, loud], "dialog", weights) for weights in (fair, plain)]
    assert both[0] > both[1]


def test_folders_have_equal_weight_with_any_number_of_songs() -> None:
    many = [made(seed, folder="rendered") for seed in range(9)]
    few = [made(seed, folder="real") for seed in (10, 11)]

    counts = shares_of([*many, *few])

    np.testing.assert_allclose(counts, [1 / 18] * 9 + [1 / 4] * 2)
    alone = mean_db(few, "dialog", {"a/dialog": 1.0})
    others = mean_db(many, "dialog", {"a/dialog": 1.0})
    assert mean_db([*many, *few], "dialog", {"a/dialog": 1.0}) == pytest.approx(
        (alone + others) / 2
    )


def test_weights_below_zero_can_be_excluded() -> None:
    rng = np.random.default_rng(0)
    stem, leak = rng.standard_normal((2, 20_000))
    signals = np.stack([stem + leak, leak, stem + leak, stem])
    song = SongGram(SIGNALS, (signals @ signals.T)[None], song="song", folder="")
    free = Method(ridges=(1e-6,), mixture=False)

    weights = fit([song], "dialog", ["a/dialog", "b/dialog"], free)
    kept = fit(
        [song],
        "dialog",
        ["a/dialog", "b/dialog"],
        Method(ridges=(1e-6,), mixture=False, non_negative=True),
    )

    assert weights["b/dialog"] == pytest.approx(-1, abs=0.01)
    assert kept["b/dialog"] == pytest.approx(0, abs=1e-6)


def test_a_song_that_is_left_out_does_not_affect_its_weights() -> None:
    songs = [made(0), made(1), made(2, noise=(5.0, 0.01))]

    scores = left_out_db(songs, "dialog", ["a/dialog", "b/dialog"], Method(ridges=(1e-3,)))

    alone = fit(songs[:2], "dialog", ["a/dialog", "b/dialog"], Method(ridges=(1e-3,)))
    assert scores[2] == pytest.approx(sdr_db(songs[2], "dialog", alone))
    assert scores[2] < 0


def test_scores_are_the_official_ones() -> None:
    rng = np.random.default_rng(3)
    stem, estimate = rng.standard_normal((2, 1000, 2)).astype(np.float32).astype(np.float64)
    flat = np.stack([estimate.reshape(-1)] * 3 + [stem.reshape(-1)])
    song = SongGram(SIGNALS, (flat @ flat.T)[None], song="song", folder="")

    expected = sdr(stem[None], estimate[None])[0]

    assert sdr_db(song, "dialog", {"a/dialog": 1.0}) == pytest.approx(expected, abs=1e-6)
    assert plain_mean(["x", "y"]) == {"x": 0.5, "y": 0.5}
    assert signal_name("a", "dialog") == "a/dialog"


def test_a_gate_is_fitted_for_the_odds_among_all_songs() -> None:
    quiet = [Example((10 ** (level / 10), 1.0), True, -70.0) for level in (-45, -40, -38, -50)]
    loud = [Example((10 ** (level / 10), 1.0), False, 5.0) for level in (-15, -12, -20, -8, -36)]

    often, seldom = of_examples(quiet + loud, 0.5), of_examples(quiet + loud, 0.01)

    assert often is not None
    assert seldom is not None
    assert -40 < often.midpoint_db < -20
    assert seldom.midpoint_db < often.midpoint_db
    assert of_examples(loud, 0.5) is None


@dataclass
class Leaks:
    """Estimates the left or the right channel of the mixture, which is good for one stem each."""

    channel: int
    chunking: Chunking = Chunking(chunk=5000, hop=4000)
    stems: tuple[str, ...] = ("part",)
    sample_rate_hz: None = None

    def separate(self, chunks: Tensor) -> Tensor:
        part = torch.zeros_like(chunks)
        part[:, self.channel] = 0.8 * chunks[:, self.channel]
        return part[:, None]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five clips: dialog is left, effects are right, music is soft and on both sides."""
    for number in range(5):
        rng = np.random.default_rng(number)
        folder = tmp_path / "data" / f"clip_{number}"
        folder.mkdir(parents=True)
        for stem, sides in {"dialog": [1, 0.2], "effect": [0.2, 1], "music": [0.1, 0.1]}.items():
            audio = 0.1 * rng.standard_normal((9000, 2)) * sides
            soundfile.write(folder / f"{stem}.wav", audio, 44_100, subtype="FLOAT")
    return tmp_path / "data"


QUICK = ["--ridge", "0.001", "--rounds", "1"]
"""Options for a fast fit, for tests in which the weights do not matter."""

TABLE = """
track = "cdx"
summary = "For tests."

[[members]]
name = "left"
separator = "silence"
outputs = { dialog = ["part"], music = ["part"] }
settings = [{ passes = 1 }, { passes = 2, channel_swap = true }]

[[members]]
name = "right"
separator = "silence"
subtract = ["dialog"]
outputs = { effect = ["part"], dialog = ["part"] }
"""


@pytest.fixture
def leaky(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"number": 0}

    def build(name: str, options: object) -> Any:
        calls["number"] += 1
        return Leaks(channel=(calls["number"] - 1) % 2)

    monkeypatch.setattr(separators, "build", build)


@pytest.mark.usefixtures("leaky")
def test_a_recipe_is_fitted_and_written(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "plain.toml", tmp_path / "fitted.toml"
    source.write_text(TABLE)
    arguments = ["fit", str(source), "--data", str(data), "-o", str(target)]

    status = main([*arguments, "--cache", str(tmp_path / "cache")])

    printed = capsys.readouterr().out
    assert status == 0
    fitted = reading.load(str(target))
    assert [sorted(blend.weights) for blend in fitted.blends if blend.stem == "dialog"] == [
        ["left"],
        ["right"],
        ["left", "right"],
    ]
    gain = float(next(line for line in printed.splitlines() if "gain of fitting" in line)[-8:])
    assert gain > 0.5
    assert "gain of left with passes = 2, channel_swap = True" in printed
    # A second fit from its own result replaces the tables and does not repeat them.
    assert main([*arguments[:1], str(target), *arguments[2:], *QUICK]) == 0
    assert tomllib.loads(target.read_text())["blends"][0]["stem"] == "dialog"
    assert target.read_text().count("# Fitted by") == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["--ridge", "-1"], "--ridge to be 0 or above"),
        (["--ridge", "dialog=much"], "expected --ridge [STEM=]NUMBER, got 'dialog=much'"),
        (["--ridge", "dialogue=1"], "no stem 'dialogue'; did you mean 'dialog'"),
        (["--trained-on", "left"], "expected --trained-on MEMBER=PATTERN, got 'left'"),
        (["--trained-on", "lefty=clip_0"], "no member 'lefty'; did you mean 'left'"),
        (["--trained-on", "left=clip_[012]"], "on which none of its members was trained, got 2"),
        (["--silent", "1"], "--silent to be between 0 and 1"),
    ],
)
@pytest.mark.usefixtures("leaky")
def test_an_impossible_fit_is_reported_with_the_reason(
    tmp_path: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    change: list[str],
    reason: str,
) -> None:
    source = tmp_path / "plain.toml"
    source.write_text(TABLE)

    assert main(["fit", str(source), "--data", str(data), *change]) == 2

    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["-o", "missing/all.toml"], "expected a folder at 'missing' to write 'all.toml' into"),
        (["-o", "data"], "expected the path of a file for a report, got 'data'"),
        (["--cache", "plain.toml"], "cannot write to the cache 'plain.toml' (File exists)"),
        (["--cache", "plain.toml/x"], "cannot write to the cache 'plain.toml/x' (Not a directory)"),
    ],
)
@pytest.mark.usefixtures("leaky", "data")
def test_what_cannot_be_written_is_found_before_the_work(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    change: list[str],
    reason: str,
) -> None:
    (tmp_path / "plain.toml").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr("demixing.training.fitting.fit.of_song")  # nothing is separated

    assert main(["fit", "plain.toml", "--data", "data", *change]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line


@pytest.mark.usefixtures("leaky")
def test_the_report_is_printed_even_if_the_recipe_cannot_be_written(
    tmp_path: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, target = tmp_path / "plain.toml", tmp_path / "fitted.toml"
    source.write_text(TABLE)

    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("demixing.atomic.write_text", full)

    assert main(["fit", str(source), "--data", str(data), "-o", str(target), *QUICK]) == 2

    printed = capsys.readouterr()
    assert "gain of fitting" in printed.out
    assert printed.err == f"error: cannot write {target}: No space left on device\n"


@pytest.mark.usefixtures("leaky")
def test_a_cache_that_is_full_is_one_sentence(
    tmp_path: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "plain.toml").write_text(TABLE)
    monkeypatch.chdir(tmp_path)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)

    assert main(["fit", "plain.toml", "--data", str(data), "--cache", "cache", *QUICK]) == 2

    assert "cannot write to the cache 'cache' (No space left on device)" in (
        capsys.readouterr().err
    )
    assert not list((tmp_path / "cache").iterdir())


def test_nothing_is_fitted_without_an_optional_member(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "weights"))
    source = tmp_path / "plain.toml"
    source.write_text(
        (reading.FOLDER / "cdx_equal_shares.toml").read_text()
        + '[[members]]\nseparator = "demucs_v4"\noptional = true\noptions = { bag = "cdx23" }\n'
        'outputs = { dialog = ["dialog"] }\n'
    )

    assert main(["fit", str(source), "--data", str(data)]) == 2

    assert "no weights for 'demucs_v4_97d170e1_" in capsys.readouterr().err


@pytest.mark.usefixtures("leaky")
def test_a_song_without_a_stem_counts_and_too_few_songs_are_reported(
    tmp_path: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tmp_path / "plain.toml"
    source.write_text(TABLE)
    arguments = ["fit", str(source), "--data", str(data), *QUICK]
    (data / "clip_0" / "music.wav").unlink()

    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "## dialog, 5 songs of 1 folders" in printed
    assert "## music, 4 songs of 1 folders" in printed

    for path in data.glob("clip_[0-2]/*.wav"):
        path.unlink()
    monkeypatch.delattr("demixing.training.fitting.fit.of_song")  # nothing is separated
    assert main(arguments) == 2
    assert "at least 3 songs in which 'dialog' is not silent, got 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("channels", "expected", "got"),
    [
        (1, "stems of one format", "44100 Hz, 1 channel, 9000 samples in 'dialog' and 44100 Hz, 2"),
        (6, "mono or stereo stems", "6 channels; leave the song out"),
    ],
)
@pytest.mark.usefixtures("leaky")
def test_stems_of_other_formats_are_refused_before_the_work(
    tmp_path: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    channels: int,
    expected: str,
    got: str,
) -> None:
    source = tmp_path / "plain.toml"
    source.write_text(TABLE)
    for stem in ["dialog"] if channels == 1 else ["dialog", "effect", "music"]:
        audio = 0.1 * np.random.default_rng(0).standard_normal((9000, channels))
        soundfile.write(data / "clip_3" / f"{stem}.wav", audio, 44_100)
    monkeypatch.delattr("demixing.training.fitting.fit.of_song")  # nothing is separated

    assert main(["fit", str(source), "--data", str(data)]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert f"expected {expected} in {str(data / 'clip_3')!r}, got {got}" in line


@pytest.mark.usefixtures("leaky")
def test_a_residual_is_scored_and_has_no_weights(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "plain.toml", tmp_path / "fitted.toml"
    table = TABLE.replace(', music = ["part"]', "")
    source.write_text('residual = "music"\n' + table)

    assert main(["fit", str(source), "--data", str(data), "-o", str(target), *QUICK]) == 0

    before, now = [
        float(line.rsplit(maxsplit=1)[1])
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("the residual")
    ]
    assert now > before
    fitted = reading.load(str(target))
    assert {blend.stem for blend in fitted.blends} == {"dialog", "effect"}
    assert fitted.consistency == {}


@pytest.mark.usefixtures("leaky")
def test_artists_and_training_songs_are_in_the_report(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "plain.toml", tmp_path / "fitted.toml"
    source.write_text(TABLE)
    for number, name in enumerate("ABCC"):
        (data / f"clip_{number}").rename(data / f"{name}_{number}")
    arguments = ["fit", str(source), "--data", str(data), "-o", str(target)]

    status = main([*arguments, "--by", "artist", "--trained-on", "left=A_*", "--rounds", "1"])

    printed = capsys.readouterr().out
    assert status == 0
    assert "## dialog, 5 songs of 4 artists" in printed
    assert "left was trained on 1 of the songs" in printed
    assert "left alone, as it is, 4 songs" in printed
    assert "with each artist left out in turn" in printed
    assert all(blend.sdr_db is not None for blend in reading.load(str(target)).blends)


def test_a_ridge_can_be_for_one_stem() -> None:
    options = argparse.Namespace(ridge=["0.01", "dialog=1"], no_mixture=False, non_negative=False)

    methods = methods_of(options, ["dialog", "effect"])

    assert methods["dialog"].ridges == (1.0,)
    assert methods["effect"].ridges == (0.01,)


OLD_MARKS = (
    "# Fitted by `python -m training fit`; what follows is rewritten each time.",
    "# Fitted by `python -m training fit`; what follows is written anew each time.",
)


@pytest.mark.parametrize("mark", [MARK, *OLD_MARKS])
def test_text_above_any_mark_is_kept(tmp_path: Path, mark: str) -> None:
    source, target = tmp_path / "plain.toml", tmp_path / "fitted.toml"
    source.write_text(f"{TABLE}# own\n\n{mark}\n\n[consistency]\nmusic = 0.5\n")
    fitted = dataclasses.replace(reading.load(str(source)), consistency={"music": 0.25})

    write(target, source, fitted)

    assert target.read_text() == f"{TABLE}# own\n\n{MARK}\n\n[consistency]\nmusic = 0.250\n"
