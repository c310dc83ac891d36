"""``batch``: many songs, resumed, divided, replaced; what failed, and the exit status."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from demixing.cli.main import main
from demixing.cluster import processes
from demixing.cluster.dispatch import Event
from demixing.cluster.work import Job
from demixing.training.data import layouts
from tests.inline_engine import Inline

WriteSong = Callable[..., Path]
RECIPE = ("--recipe", "mdx_equal_shares", "--quiet")
STEMS = ("bass", "drums", "other", "vocals")


@pytest.fixture
def songs(tmp_path: Path, write_song: WriteSong) -> Path:
    """Twelve songs in two albums."""
    for number in range(12):
        write_song(f"songs/album {number % 2}/{number}.wav", samples=500 + number)
    return tmp_path / "songs"


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are in this process."""
    monkeypatch.setattr(processes, "Processes", Inline)


def batch(*words: object) -> int:
    return main(["batch", *map(str, words)])


def separate(songs: Path, out: Path | str, *words: object) -> int:
    return batch("separate", songs, "-o", out, *RECIPE, *words)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def manifest(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def test_every_song_gets_its_stems_and_its_record(songs: Path, out: Path) -> None:
    assert separate(songs, out) == 0

    assert {path.name for path in (out / "album 1" / "7").iterdir()} == {
        f"{stem}.wav" for stem in STEMS
    }
    rows = manifest(out)
    assert len(rows) == 12
    assert {row["status"] for row in rows} == {"done"}
    assert rows[0]["source"] == str(songs / "album 0" / "0.wav")
    assert list(rows[0]["files"]) == [f"{stem}.wav" for stem in STEMS]
    assert not list(out.glob(".batch/unfinished/*/*"))


def test_the_shards_together_do_what_one_run_does(
    songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, seven = tmp_path / "one", tmp_path / "seven"
    assert separate(songs, one) == 0
    capsys.readouterr()

    printed = []
    for index in range(7):
        assert separate(songs, seven, "--shard", f"{index}/7") == 0
        printed += capsys.readouterr().out.split("\n")[:-1]
    assert not (seven / "manifest.jsonl").exists()
    assert batch("manifest", seven) == 0

    assert sorted(printed) == sorted(
        str(seven / f"album {number % 2}" / str(number)) for number in range(12)
    )
    assert contents(seven) == contents(one)


def test_the_same_command_does_what_is_missing(
    songs: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    separate(songs, out)
    before = contents(out)
    (out / "album 0" / "4" / "bass.wav").unlink()
    (out / ".batch" / "done" / "album 1" / "5.json").unlink()
    capsys.readouterr()

    assert separate(songs, out) == 0

    assert capsys.readouterr().out.splitlines() == [
        str(out / "album 0" / "4"),
        str(out / "album 1" / "5"),
    ]
    assert contents(out) == before


def test_a_song_that_was_replaced_is_done_again(
    songs: Path, out: Path, write_song: WriteSong, capsys: pytest.CaptureFixture[str]
) -> None:
    separate(songs, out)
    write_song("songs/album 0/4.wav", samples=900)
    capsys.readouterr()

    assert separate(songs, out) == 0

    assert capsys.readouterr().out.splitlines() == [str(out / "album 0" / "4")]


def test_a_song_that_no_longer_can_be_done_is_failed_in_the_manifest(
    songs: Path, out: Path, write_song: WriteSong
) -> None:
    separate(songs, out)
    good = (songs / "album 0" / "4.wav").read_bytes()
    (songs / "album 0" / "4.wav").write_text("no audio")

    assert separate(songs, out) == 1
    assert batch("manifest", out) == 1
    assert [row["name"] for row in manifest(out) if row["status"] == "failed"] == ["album 0/4"]
    (songs / "album 0" / "4.wav").write_bytes(good)
    assert separate(songs, out) == 0
    assert batch("manifest", out) == 0


def test_another_song_of_the_same_name_and_size_is_done(
    tmp_path: Path, out: Path, write_song: WriteSong, capsys: pytest.CaptureFixture[str]
) -> None:
    first, moved, other = (write_song(f"{name}/a.wav") for name in ("x", "y", "z"))
    moved.write_bytes(first.read_bytes())
    data = bytearray(first.read_bytes())
    data[-2] ^= 1
    other.write_bytes(data)
    separate(first.parent, out)
    capsys.readouterr()

    assert separate(moved.parent, out) == 0
    assert capsys.readouterr().out == ""
    assert separate(other.parent, out) == 0
    assert capsys.readouterr().out.splitlines() == [str(out / "a")]


def test_songs_of_a_list_are_done_again_if_their_size_changes(
    tmp_path: Path, out: Path, write_song: WriteSong, capsys: pytest.CaptureFixture[str]
) -> None:
    write_song("a.wav", samples=500)
    (tmp_path / "list.txt").write_text("a.wav\n")
    separate(tmp_path / "list.txt", out)
    write_song("a.wav", samples=600)
    capsys.readouterr()

    assert separate(tmp_path / "list.txt", out) == 0
    assert capsys.readouterr().out.splitlines() == [str(out / "a")]


def test_estimates_without_records_are_scored_again(data: Path, out: Path) -> None:
    estimates = out.parent / "estimates"
    shutil.copytree(data, estimates)
    words = ("score", data, "--estimates", estimates, "-o", out, "-q")
    assert batch(*words) == 0
    before = (out / "a" / "scores.json").read_bytes()
    shutil.copy(estimates / "a" / "bass.wav", estimates / "a" / "drums.wav")

    assert batch(*words) == 0

    assert (out / "a" / "scores.json").read_bytes() != before


def test_missing_estimates_are_named_by_their_address(
    data: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = out.with_name("missing")

    assert batch("score", data, "--estimates", missing, "-o", out, "-q") == 1

    said = capsys.readouterr().err.splitlines()
    assert all(f"'{missing}'" in line and "unfinished" not in line for line in said), said
    assert len(said) == 2


def test_results_of_another_recipe_are_refused_or_replaced(
    songs: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    separate(songs, out)
    before = contents(out)

    assert separate(songs, out, "--recipe", "mdx_silence") == 2
    assert "has results of another task" in capsys.readouterr().err
    assert contents(out) == before
    assert separate(songs, out, "--recipe", "mdx_silence", "--replace") == 0
    assert len({row["task"] for row in manifest(out)}) == 1
    capsys.readouterr()
    assert separate(songs, out, "--recipe", "mdx_silence", "--replace") == 0
    assert capsys.readouterr().out == ""


def test_a_damaged_song_fails_and_the_others_are_done(
    songs: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (songs / "album 0" / "evil\x1b[2J.wav").write_text("no audio")

    assert separate(songs, out) == 1

    said = capsys.readouterr().err
    assert said.startswith("error: album 0/evil%1b[2J: ")
    assert "\x1b" not in said
    rows = manifest(out)
    assert [row["name"] for row in rows if row["status"] == "failed"] == ["album 0/evil%1b[2J"]
    assert sum(row["status"] == "done" for row in rows) == 12
    (songs / "album 0" / "evil\x1b[2J.wav").unlink()
    assert separate(songs, out) == 0


def test_json_has_a_line_for_each_song(
    songs: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (songs / "bad.wav").write_text("no audio")

    separate(songs, out, "--json")

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 13
    assert {row["name"]: row["status"] for row in rows}["bad"] == "failed"
    assert next(row for row in rows if row["name"] == "album 1/3")["result"] == str(
        out / "album 1" / "3"
    )


def test_a_teachers_stems_are_a_data_set_for_training(songs: Path, out: Path) -> None:
    assert batch("teach", songs, "-o", out, *RECIPE) == 0

    layout, found = layouts.find(out)
    assert layout == "stems"
    assert [song.name for song in found][:2] == ["album 0__0", "album 0__10"]
    assert set(found[0].stems) == set(STEMS)


def test_scores_are_those_of_score(
    data: Path, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixtures = tmp_path / "list.txt"
    mixtures.write_text("".join(f"data/{song}/vocals.wav\t{song}\n" for song in "ab"))
    estimates = tmp_path / "estimates"
    assert batch("separate", mixtures, "-o", estimates, *RECIPE) == 0
    main(["score", str(data), str(estimates), "--json", str(tmp_path / "scores.json"), "-q"])
    capsys.readouterr()

    assert batch("score", data, "--estimates", estimates, "-o", out, "-q") == 0

    expected = json.loads((tmp_path / "scores.json").read_text())
    printed = dict(line.split("\t") for line in capsys.readouterr().out.splitlines()[2:])
    for stem in STEMS:
        assert float(printed[stem]) == pytest.approx(expected["stems_db"][stem], abs=6e-4)
    own = [json.loads((out / song / "scores.json").read_text()) for song in "ab"]
    assert [one["songs"][0] for one in own] == expected["songs"]
    batch("score", data, "--estimates", estimates, "-o", out, "--json")
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["status"] for row in rows] == ["there", "there"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shard", "7/7"], "shards count from 0"),
        (["--shard", "0/7", "--ray", "auto"], "leave out --shard"),
        (["--format", "flac", "--bits", "32f"], "FLAC only stores integers"),
        (["--recipe", "no_such"], "no_such"),
    ],
)
def test_wrong_options_are_one_sentence(
    songs: Path,
    out: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert separate(songs, out, *words) == 2

    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("track.wav", "track/vocals.wav.wav"), "'track/vocals.wav' would be where 'track' has"),
        (("track.wav", "track/vocals.wav/a.wav"), "'track/vocals.wav/a' would be where 'track'"),
        (("x.wav", "X.JSON/y.wav"), "'X.JSON/y' would be where 'x' has a file"),
        (("manifest.jsonl/a.wav",), "manifest.jsonl is the list of all results"),
        (("a.wav", "A.wav"), "upper and lower case count as equal"),
    ],
)
def test_names_that_would_be_in_each_others_place_are_one_sentence(
    tmp_path: Path,
    out: Path,
    write_song: WriteSong,
    files: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for file in files:
        write_song(f"songs/{file}", samples=400)

    assert separate(tmp_path / "songs", out) == 2

    (said,) = capsys.readouterr().err.splitlines()
    assert message in said
    assert not out.exists()


def test_names_that_look_like_other_files_have_places_of_their_own(
    tmp_path: Path, out: Path, write_song: WriteSong
) -> None:
    files = ("manifest.jsonl.wav", "x.json.wav", "x.wav", "a.wav", "a.flac", "x/scores.json.wav")
    for file in files:
        write_song(f"songs/{file}", samples=400)

    assert separate(tmp_path / "songs", out) == 0

    assert [row["name"] for row in manifest(out)] == [
        *("a.flac", "a.wav", "manifest.jsonl.wav", "x", "x.json", "x/scores.json")
    ]
    assert len(list(out.rglob("vocals.wav"))) == len(files)


def test_songs_that_left_the_source_are_mentioned(
    songs: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("separate", songs, "-o", out, "--recipe", "mdx_equal_shares")
    batch(*words)
    assert "SOURCE" not in capsys.readouterr().err
    (songs / "album 0" / "4.wav").unlink()

    assert batch(*words) == 0

    assert "not in SOURCE: 1, such as 'album 0/4'" in capsys.readouterr().err


def test_results_that_are_not_at_the_destination_are_an_error(
    songs: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Elsewhere(Inline):
        """A worker on another machine, with a disk of its own."""

        def __init__(self, job: Job, count: int, environment: Mapping[str, str]) -> None:
            elsewhere = dataclasses.replace(job, destination=str(out.with_name("elsewhere")))
            super().__init__(elsewhere, count, environment)

    monkeypatch.setattr(processes, "Processes", Elsewhere)

    assert separate(songs, out) == 2
    assert "12 of 12 songs have no record" in capsys.readouterr().err
    assert separate(songs, "memory://out") == 2
    assert "in the memory of each" in capsys.readouterr().err
    assert separate(songs, "") == 2
    assert "got an empty word" in capsys.readouterr().err


def test_a_folder_without_a_batch_gets_no_manifest(
    songs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert batch("manifest", songs) == 2

    assert "expected the results of a batch" in capsys.readouterr().err
    assert not (songs / "manifest.jsonl").exists()


def test_a_replaced_task_has_no_manifest_until_it_is_done(
    songs: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Inline):
        def wait(self, seconds: float) -> Sequence[Event]:
            raise KeyboardInterrupt

    separate(songs, out)
    with monkeypatch.context() as patch:
        patch.setattr(processes, "Processes", Interrupted)
        separate(songs, out, "--recipe", "mdx_silence", "--replace")

    assert not (out / "manifest.jsonl").exists()
    assert separate(songs, out, "--recipe", "mdx_silence") == 0
    assert len(manifest(out)) == 12


def test_results_are_not_written_among_the_songs(
    songs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (songs.parent / "link").symlink_to(songs)

    for inside in (songs / "out", songs.parent / "link" / "out"):
        assert separate(songs, inside) == 2
        assert "outside of" in capsys.readouterr().err
