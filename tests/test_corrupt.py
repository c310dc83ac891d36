"""A corrupted copy matches its report, and all other files are links."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from demixing.cli.main import main
from demixing.training.data import check, metadata
from demixing.training.data.corrupt import REPORT

STEMS = ("bass", "drums", "other", "vocals")


@pytest.fixture
def corpus(tmp_path: Path, rng: np.random.Generator) -> Path:
    for number in range(10):
        folder = tmp_path / "corpus" / f"song_{number:03}"
        folder.mkdir(parents=True)
        for stem in STEMS:
            soundfile.write(folder / f"{stem}.wav", 0.1 * rng.standard_normal((2000, 2)), 44_100)
        (folder / "sources.json").write_text("{}")
    (tmp_path / "corpus" / "LICENCES.md").write_text("text")
    return tmp_path / "corpus"


def corrupt(corpus: Path, out: Path, kind: str, *words: str) -> dict[str, dict[str, Any]]:
    assert main(["corrupt", str(corpus), str(out), "--kind", kind, *words]) == 0
    report = json.loads((out / REPORT).read_text())
    assert (report["kind"], report["songs"]) == (kind, 10)
    spoilt: dict[str, dict[str, Any]] = report["spoilt"]
    return spoilt


def read(folder: Path) -> dict[str, NDArray[np.float64]]:
    return {stem: soundfile.read(folder / f"{stem}.wav")[0] for stem in STEMS}


@pytest.mark.parametrize("kind", ["labelnoise", "bleeding"])
def test_uncorrupted_files_are_links(corpus: Path, tmp_path: Path, kind: str) -> None:
    spoilt = corrupt(corpus, tmp_path / "out", kind)

    assert len(spoilt) == 2
    for folder in corpus.glob("song_*"):
        for path in folder.iterdir():
            same = path.samefile(tmp_path / "out" / folder.name / path.name)
            assert same or folder.name in spoilt
    assert (tmp_path / "out" / "LICENCES.md").read_text() == "text"


def test_label_noise_swaps_two_stems(corpus: Path, tmp_path: Path) -> None:
    spoilt = corrupt(corpus, tmp_path / "out", "labelnoise", "--share", "0.5")

    assert len(spoilt) == 5
    for name, done in spoilt.items():
        one, other = done["swapped"]
        for stem in STEMS:
            true = {one: other, other: one}.get(stem, stem)
            assert (tmp_path / "out" / name / f"{stem}.wav").samefile(corpus / name / f"{true}.wav")


def test_bleeding_has_the_level_in_the_report(corpus: Path, tmp_path: Path) -> None:
    spoilt = corrupt(corpus, tmp_path / "out", "bleeding", "--share", "1")

    for name, done in spoilt.items():
        true, found = read(corpus / name), read(tmp_path / "out" / name)
        for stem in STEMS:
            expected = true[stem].copy()
            for pair, level_db in done["bleeding_db"].items():
                of, into = pair.split(" in ")
                if into == stem:
                    expected += 10 ** (level_db / 20) * true[of]
            np.testing.assert_allclose(found[stem], expected, atol=2e-3)
    assert sum(len(done["bleeding_db"]) for done in spoilt.values()) > 60


def test_the_same_seed_corrupts_the_same_songs(corpus: Path, tmp_path: Path) -> None:
    spoilt = [
        corrupt(corpus, tmp_path / name, "bleeding", "--seed", seed)
        for name, seed in (("a", "1"), ("b", "1"), ("c", "2"))
    ]

    assert spoilt[0] == spoilt[1] != spoilt[2]


def test_nothing_is_overwritten(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["corrupt", str(corpus), str(corpus), "--kind", "bleeding"])

    assert status == 2
    assert "expected a new folder" in capsys.readouterr().err


def test_mixtures_of_any_name_stay_the_same_file(corpus: Path, tmp_path: Path) -> None:
    for folder in corpus.glob("song_*"):
        (folder / "mix.wav").hardlink_to(folder / "bass.wav")

    corrupt(corpus, tmp_path / "out", "bleeding", "--share", "1")

    for folder in corpus.glob("song_*"):
        assert (folder / "mix.wav").samefile(tmp_path / "out" / folder.name / "mix.wav")


def test_names_with_a_prefix_are_swapped_as_well(tmp_path: Path, rng: np.random.Generator) -> None:
    folder = tmp_path / "corpus" / "clip"
    folder.mkdir(parents=True)
    for stem in ("dialog", "music"):
        soundfile.write(folder / f"clip_{stem}.wav", 0.1 * rng.standard_normal((200, 2)), 44_100)
    words = ["--kind", "labelnoise", "--share", "1"]

    assert main(["corrupt", str(tmp_path / "corpus"), str(tmp_path / "out"), *words]) == 0

    swapped = tmp_path / "out" / "clip" / "clip_music.wav"
    assert swapped.samefile(folder / "clip_dialog.wav")


def test_a_stem_of_several_files_is_refused(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = corpus / "song_003"
    (folder / "bass.wav").rename(folder / "bass_1.wav")
    (folder / "bass_2.wav").hardlink_to(folder / "drums.wav")

    status = main(["corrupt", str(corpus), str(tmp_path / "out"), "--kind", "labelnoise"])

    assert status == 2
    assert "expected one file for each stem" in capsys.readouterr().err


def test_stems_that_are_not_in_a_folder_per_song_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stem in STEMS:
        (tmp_path / "data" / stem).mkdir(parents=True)
        soundfile.write(tmp_path / "data" / stem / "one.wav", np.zeros((100, 2)), 44_100)

    words = ["corrupt", str(tmp_path / "data"), str(tmp_path / "out"), "--kind", "bleeding"]

    assert main(words) == 2
    assert "expected a folder per song, got 'one'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def nested(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Songs with a folder for each stem, whose files all have one name."""
    for song in ("one", "two"):
        for stem in (*STEMS, "mixture"):
            folder = tmp_path / "nested" / song / stem
            folder.mkdir(parents=True)
            soundfile.write(folder / "take.wav", 0.1 * rng.standard_normal((200, 2)), 44_100)
    return tmp_path / "nested"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.wav")
    }


@pytest.mark.parametrize("kind", ["labelnoise", "bleeding"])
def test_stems_in_folders_keep_their_places(nested: Path, tmp_path: Path, kind: str) -> None:
    before = contents(nested)
    words = ["corrupt", str(nested), str(tmp_path / "out"), "--kind", kind, "--share", "0.5"]

    assert main(words) == 0

    after = contents(tmp_path / "out")
    (song,) = json.loads((tmp_path / "out" / REPORT).read_text())["spoilt"]
    changed = {name for name in before if before[name] != after[name]}
    assert contents(nested) == before
    assert after.keys() == before.keys()
    assert {name.split("/")[0] for name in changed} == {song}
    assert f"{song}/mixture/take.wav" not in changed
    if kind == "labelnoise":
        one, other = changed
        assert (after[one], after[other]) == (before[other], before[one])


@pytest.mark.parametrize("kind", ["labelnoise", "bleeding"])
def test_originals_stay_as_they_are(
    corpus: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = contents(corpus)

    corrupt(Path("corpus"), Path("out"), kind, "--share", "1")

    assert contents(corpus) == before
    assert contents(Path("out")).keys() == before.keys()
    assert contents(Path("out")) != before


def test_a_failed_corruption_leaves_nothing(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(corpus / "song_009" / "bass.wav", np.zeros((100, 2)), 44_100)
    words = ["corrupt", str(corpus), str(tmp_path / "out"), "--kind", "bleeding", "--share", "1"]

    assert main(words) == 2

    assert f"one length, rate and number of channels in {str(corpus / 'song_009')!r}" in (
        capsys.readouterr().err
    )
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_what_is_known_of_the_files_is_not_copied(corpus: Path, tmp_path: Path) -> None:
    for name in (metadata.NAME, check.NAME):
        (corpus / name).write_text("{}")

    corrupt(corpus, tmp_path / "out", "labelnoise")

    assert (tmp_path / "out" / "LICENCES.md").is_file()
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
