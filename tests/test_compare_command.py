"""`demixing compare`: every kind of system, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from demixing.cli.main import main
from demixing.evaluation import ledger
from demixing.recipes import reading
from evaluator.__main__ import main as evaluator
from tests.missing import not_installed

MDX = ("bass", "drums", "other", "vocals")
WriteSong = Callable[..., Path]


@pytest.fixture
def data(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Two songs with known stems."""
    for song in "ab":
        for stem in MDX:
            path = tmp_path / "data" / song / f"{stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.1 * rng.standard_normal((3000, 2)), 44_100, "FLOAT")
    return tmp_path / "data"


@pytest.fixture
def separated(data: Path, tmp_path: Path, rng: np.random.Generator) -> Path:
    """The stems with noise 20 dB below them."""
    folder = tmp_path / "separated"
    shutil.copytree(data, folder)
    for path in folder.rglob("*.wav"):
        audio, rate_hz = soundfile.read(path)
        noise = 0.01 * rng.standard_normal(audio.shape)
        soundfile.write(path, audio + noise, rate_hz, "FLOAT")
    return folder


@pytest.fixture
def scored(data: Path, tmp_path: Path) -> Path:
    """A run with its scores, in which each stem is the mixture: about -4.8 dB."""
    run = tmp_path / "output" / "mdx"
    for song in data.iterdir():
        stems = [soundfile.read(path)[0] for path in song.iterdir()]
        for stem in MDX:
            path = run / "predictions" / song.name / f"{stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.sum(stems, axis=0), 44_100, "FLOAT")
    scores = run / "scores.json"
    assert main(["score", str(data), str(run / "predictions"), "--json", str(scores)]) == 0
    (run / "run.json").write_text(json.dumps({"recipe": "mine"}))
    return run


@pytest.fixture
def history(scored: Path, tmp_path: Path) -> Path:
    """A folder with three entries of that run in its ledger."""
    scores = json.loads((scored / "scores.json").read_text())
    entry = ledger.Entry(
        time="2026-01-31T12:00:00Z",
        track="mdx",
        recipe={"name": "older", "sha256": ""},
        data={},
        scores=scores,
    )
    for _ in range(3):
        ledger.append(tmp_path / "evaluator_outputs", entry)
    return tmp_path / "evaluator_outputs"


def compared(capsys: pytest.CaptureFixture[str], *words: str | Path) -> Any:
    capsys.readouterr()
    assert main(["compare", *map(str, words), "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def means(found: Any) -> list[float]:
    return [system["mean"] for system in found["systems"]]


# Kinds of systems


def test_runs_are_given_by_folder_by_output_or_by_file(
    scored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(capsys, scored, scored.parent, scored / "scores.json")

    assert means(found) == pytest.approx([-4.77] * 3, abs=0.2)
    assert [one["kind"] for one in found["systems"]] == ["run of the recipe mine"] * 3
    for difference in found["differences"]:
        assert difference["columns"]["mean"]["p"] == 1
        assert difference["sentences"] == [
            f"A and {difference['system']} have equal scores in all 2 songs."
        ]


def test_an_output_with_two_tracks_needs_a_choice(
    scored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = scored.with_name("cdx")
    film.mkdir()
    (film / "scores.json").write_text("{}")

    assert main(["compare", str(scored.parent), str(scored)]) == 2
    assert "found mdx and cdx; name one of these folders" in capsys.readouterr().err
    assert compared(capsys, scored.parent, scored, "--track", "mdx")["track"] == "mdx"


def test_separated_songs_are_scored_with_their_references(
    data: Path, separated: Path, scored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = scored / "predictions"

    found = compared(capsys, scored, separated, predictions, "--references", data)

    assert means(found) == pytest.approx([-4.77, 20, -4.77], abs=0.2)
    assert [one["kind"] for one in found["systems"]][1:] == ["separated songs"] * 2
    assert found["differences"][1]["columns"]["mean"]["mean"] == 0


def test_songs_that_were_not_separated_are_left_out(
    data: Path, separated: Path, scored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(separated / "a")

    found = compared(capsys, scored, separated, "--references", data)

    assert found["left_out"] == {"a": ["A"]}
    assert found["differences"][0]["columns"]["mean"]["interval"] is None


def test_recipes_are_run_on_the_same_songs(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("mdx_silence", "mdx_equal_shares", "--data", data)

    found = compared(capsys, *words)

    silence, shares = means(found)
    assert silence == 0
    assert shares == pytest.approx(1.25, abs=0.1)  # 10 log10(16 / 12)
    assert compared(capsys, *words, "--songs", "b", "z*")["songs"] == [
        {"name": "b", "artist": str(data)}
    ]


def test_a_recipe_is_compared_with_a_run(
    data: Path, scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = shutil.copy(reading.FOLDER / "mdx_silence.toml", tmp_path / "mine.toml")

    assert main(["compare", str(scored), str(recipe), "--data", str(data)]) == 0

    printed = capsys.readouterr()
    assert "recipes were run here, without gates" in printed.out
    assert "B - A" in printed.out
    assert "separating 2 songs with" in printed.err


def test_the_beginning_of_a_song_is_not_the_same_reference(
    data: Path, scored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", str(scored), "mdx_silence", "--data", str(data), "--seconds", "0.05"]

    assert main(words) == 2

    assert "one has 3000 samples (0.1 s), the other 2205" in capsys.readouterr().err


def test_the_same_recipe_twice_is_run_once_and_equal(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "mdx_silence", "mdx_silence", "--data", str(data)]) == 0

    printed = capsys.readouterr()
    assert "A and B have equal scores in all 2 songs." in printed.out
    assert printed.err.count("separating") == 1


def test_a_song_with_two_stems_has_one_known_score(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its `other` is the whole accompaniment. A third stem without a file is silent."""
    for stem in ("bass", "drums"):
        (data / "a" / f"{stem}.wav").unlink()
    (data / "b" / "vocals.wav").unlink()

    found = compared(capsys, "mdx_silence", "mdx_equal_shares", "--data", data)

    songs = {one["song"]: one["stems"] for one in found["differences"][0]["songs"]}
    assert {name: list(stems) for name, stems in songs.items()} == {
        "a": ["vocals"],
        "b": ["bass", "drums", "other"],
    }
    assert found["differences"][0]["silent"]["stems"]["vocals"]["references"] == 1
    assert found["systems"][0]["official"] is None


def test_entries_of_a_history_are_compared(
    scored: Path,
    history: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(history.parent)
    found = compared(capsys, "@1", f"{history}@3", scored)

    assert [one["kind"] for one in found["systems"]][:2] == [
        "entry of the history, recipe older"
    ] * 2
    for words, message in (
        (["@7", "@1"], "expected an entry 7 in the history of 'evaluator_outputs', found 1 to 3"),
        (["empty@1", "@1"], "expected a history in 'empty', found none"),
    ):
        assert main(["compare", *words]) == 2
        assert message in capsys.readouterr().err


def test_the_name_of_a_recipe_comes_before_a_folder(
    scored: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    scored.rename(tmp_path / "mdx_silence")

    assert main(["compare", "mdx_silence", "./mdx_silence"]) == 2
    assert "expected --data DIR" in capsys.readouterr().err
    assert compared(capsys, "./mdx_silence", "./mdx_silence")


# Output


def test_reports_go_to_files_beside_the_table(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = ["--json", str(tmp_path / "x.json"), "--csv", str(tmp_path / "x.csv")]

    assert main(["compare", str(scored), str(scored), "--per-artist", *targets]) == 0

    assert "B - A" in capsys.readouterr().out
    assert json.loads((tmp_path / "x.json").read_text())["unit"] == "artist"
    assert (tmp_path / "x.csv").read_text().startswith("system,from,column,")
    assert main(["compare", str(scored), str(scored), "--csv", "-"]) == 0
    assert capsys.readouterr().out.startswith("system,from,column,")


def test_the_evaluator_has_the_same_command(
    scored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        evaluator(["compare", str(scored), str(scored)])

    assert ended.value.code == 0
    assert "A and B have equal scores" in capsys.readouterr().out


# Refusals


@pytest.mark.parametrize(
    "words", [["mdx_silence", "RUN", "--data"], ["SEPARATED", "RUN", "--references"]]
)
def test_a_metric_whose_library_is_missing_is_refused_before_the_work(
    words: list[str],
    data: Path,
    separated: Path,
    scored: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    not_installed(monkeypatch, "museval")
    paths = {"RUN": scored, "SEPARATED": separated}
    words = [str(paths.get(word, word)) for word in words]
    capsys.readouterr()

    assert main(["compare", *words, str(data), "--metric", "museval_sdr"]) == 2

    printed = capsys.readouterr().err
    assert "expected museval for its metrics" in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("shape", "rate_hz"),
    [((3000, 2), 48_000), ((3001, 2), 44_100), ((3000, 1), 44_100)],
    ids=["rate", "length", "channels"],
)
def test_stems_of_other_formats_are_refused_before_a_recipe_runs(
    shape: tuple[int, int], rate_hz: int, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(data / "b" / "drums.wav", np.zeros(shape), rate_hz, "FLOAT")

    assert main(["compare", "mdx_silence", "mdx_equal_shares", "--data", str(data)]) == 2

    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert f"expected stems of one format in {str(data / 'b')!r}, got 44100 Hz" in line
    assert f" and {rate_hz} Hz" in line
    assert printed.out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN"], "expected two systems or more to compare, got one"),
        (["RUN", "SEPARATED"], "expected --references DIR, the songs with true stems for"),
        (
            ["RUN", "mdx_silence"],
            "expected --data DIR, the songs with true stems for 'mdx_silence'",
        ),
        (["RUN", "RUN", "--data", "DATA"], "--data is for recipes, but none is given"),
        (["RUN", "RUN", "--references", "DATA"], "--references is for separated songs, but none"),
        (["RUN", "RUN", "--once"], "--once and --seconds are for recipes"),
        (["RUN", "RUN", "--seconds", "3"], "--once and --seconds are for recipes"),
        (["RUN", "RUN", "--songs", "z*"], "expected songs that match z* in"),
        (
            ["RUN", "RUN", "--metric", "sdrr"],
            "--metric: no metric named 'sdrr'; did you mean 'sdr'?",
        ),
        (["RUN", "RUN", "--metric", "museval"], "--metric: expected one metric, got 'museval'"),
        (["RUN", "nowhere"], "got 'nowhere', which is none of these; `demixing list` has"),
        (["RUN", "none.json"], "but No such file or directory"),
        (["RUN", "TEXT"], "but it is not JSON"),
        (["RUN", "LIST"], "expected scores as `demixing evaluate` writes them"),
        (["RUN", "RUN", "--track", "cdx"], "expected scores of the track 'cdx'"),
        (["RUN", "SEPARATED", "--references", "DATA", "--songs", "z"], "with references in"),
        (
            ["mdx_silence", "cdx_silence", "--data", "DATA"],
            "expected systems of one track, got cdx",
        ),
        (["RUN", "cdx_silence", "--data", "FILM"], "expected systems of one track, got cdx"),
        (["mdx_silence", "mdx_silence", "--data", "DATA", "--songs", "z*"], "match z*, but found"),
        (["mdx_silence", "mdx_silence", "--data", "DATA", "--seconds", "0"], "above 0, got 0"),
        (["mdx_silence", "mdx_silense", "--data", "DATA"], "did you mean 'mdx_silence'?"),
        (["mdx_silence", "RUN", "--data", "DATA", "DATA"], "songs with different names, found 'a'"),
        (["mdx_silence", "RUN", "--data", "DATA", "--metric", "sdrr"], "no metric named 'sdrr'"),
        (["RUN", "RUN", "--json", "no/x.json"], "expected a folder at 'no'"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(
    words: list[str],
    message: str,
    data: Path,
    separated: Path,
    scored: Path,
    tmp_path: Path,
    write_song: WriteSong,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "list.json").write_text("[]")
    if "FILM" in words:
        for stem in ("dialog", "effect", "music"):
            write_song(f"film/clip/{stem}.wav")
    paths = {
        "RUN": scored,
        "SEPARATED": separated,
        "DATA": data,
        "TEXT": tmp_path / "text",
        "LIST": tmp_path / "list.json",
        "FILM": tmp_path / "film",
    }
    capsys.readouterr()

    assert main(["compare", *(str(paths.get(word, word)) for word in words)]) == 2

    printed = capsys.readouterr()
    assert message in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)
