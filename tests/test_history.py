"""``evaluate`` adds to the ledger, and ``history`` shows the course."""

import csv
import io
import json
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from demixing.cli import history, history_entry
from demixing.cli.main import main
from demixing.evaluation import ledger
from demixing.machine import description
from demixing.recipes import reading
from tests.test_ledger import entry, scores


def evaluate(data: Path, out: Path, *words: str) -> int:
    return main(["evaluate", "--data", str(data), "--output", str(out), "-q", *words])


def course(out: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    """What ``history`` says, as JSON."""
    capsys.readouterr()
    assert main(["history", "--output", str(out), "--json", "-", *words]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def result(mean_db: float, *songs: str, **changes: Any) -> ledger.Entry:
    """An entry with a mean and songs."""
    contents = scores(*songs) | {
        "mean_db": mean_db,
        "active_mean": {"song_db": mean_db, "stems_db": {}},
    }
    data = {"path": "d", "count": len(songs), "digest": ledger.digest(contents)}
    return entry(scores=contents, data=data, separated=1, seconds=2.0, **changes)


@pytest.mark.usefixtures("installed")
def test_an_evaluation_is_added_with_all_that_it_was_made_with(
    data: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(data, out, "--recipe", "mdx_silence") == 0
    assert evaluate(data, out, "--recipe", "mdx_equal_shares", "--songs", "a") == 0

    first, second = ledger.entries(out)
    manifest = json.loads((out / "mdx" / "run.json").read_text())
    assert second.scores == json.loads((out / "mdx" / "scores.json").read_text())
    assert second.recipe["sha256"] == manifest["recipe_sha256"]
    assert (first.data["songs"], second.data["songs"]) == (["a", "b"], ["a"])
    assert first.data["path"] == str(data.resolve())
    assert (first.separated, second.separated) == (2, 1)
    assert first.options == {"limit": "none", "jobs": 1, "resume": False}
    assert {"processor", "cores", "threads", "device", "memory_bytes"} <= first.machine.keys()
    assert {"sound-demixing", "revision", "python", "torch", "numpy"} <= first.versions.keys()
    lines = course(out, capsys)
    assert [line["other_songs"] for line in lines] == [False, True]
    assert [line["change_db"] for line in lines] == [None, None]


@pytest.mark.usefixtures("installed")
def test_no_history_is_written_if_it_is_not_wanted(data: Path, out: Path) -> None:
    assert evaluate(data, out, "--recipe", "mdx_silence", "--no-history") == 0

    assert not (out / ledger.FILE).exists()
    assert (out / "mdx" / "scores.json").exists()


@pytest.mark.usefixtures("installed")
def test_a_history_that_cannot_be_written_does_not_spoil_the_evaluation(
    data: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (out / ledger.FILE).mkdir(parents=True)
    words = ["--data", str(data), "--output", str(out), "--recipe", "mdx_silence"]

    assert main(["evaluate", *words]) == 0

    assert "note: cannot write the history" in capsys.readouterr().err


@pytest.mark.usefixtures("installed")
def test_the_place_on_a_board_is_in_all_reports(
    data: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(data), "--output", str(out), "--recipe", "mdx_silence"]

    assert main(["evaluate", *words, "--board", "mdx21-a"]) == 0

    printed = capsys.readouterr()
    assert "rank 6 or lower, below rank 5 (ByteMSS 6.514)" in printed.out
    assert "it is not recorded whether MDX'21 A would admit" in printed.err
    kept = json.loads((out / "mdx" / "scores.json").read_text())
    assert kept["board"]["name"] == "mdx21-a"
    assert ledger.entries(out)[0].scores == kept


def test_weights_have_the_hashes_of_the_catalogue() -> None:
    recipe = reading.load("mdx_default")

    found = history_entry.weights(recipe)

    assert found
    assert all(one["sha256"] is None or len(one["sha256"]) >= 8 for one in found)
    assert "mdx_unet" in [one["name"] for one in found]


def test_changes_are_those_of_the_same_songs(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for mean_db, songs in ((1.0, "ab"), (2.0, "abc"), (1.5, "ab"), (2.5, "abc")):
        ledger.append(out, result(mean_db, *songs))

    lines = course(out, capsys)

    assert [line["change_db"] for line in lines] == [None, None, 0.5, 0.5]
    assert [line["before"] for line in lines] == [None, None, 1, 2]
    assert [line["other_songs"] for line in lines] == [False, True, True, True]


def test_the_table_is_newest_last_and_marks_other_songs(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {"sound-demixing": "0.2.0", "revision": "0123456789", "changed": True}
    ledger.append(out, result(1.0, "a", recipe={"name": "old\n"}))
    ledger.append(out, result(1.25, "a", "b", versions=state))

    assert main(["history", "--output", str(out)]) == 0

    title, header, first, second, *notes = capsys.readouterr().out.splitlines()
    assert title == "MDX, SDR in dB"
    assert header.split()[-2:] == ["bass", "seconds"]
    assert "old\\n" in first
    assert "0.2.0 0123456+" in second
    assert "2#" in second
    assert [line[0] for line in notes[:2]] == ["#", "+"]


def test_the_course_can_be_narrowed(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("x", "y", "x"):
        ledger.append(out, result(1.0, "a", recipe={"name": name}))
    ledger.append(out, result(1.0, "a", track="cdx"))

    def numbers(*words: str) -> list[int]:
        return [line["number"] for line in course(out, capsys, *words)]

    assert numbers() == [1, 2, 3, 4]
    assert numbers("--track", "mdx") == [1, 2, 3]
    assert numbers("--recipe", "x") == [1, 3]
    assert numbers("--last", "1") == [3, 4]
    assert numbers("--board", "C") == [1, 2, 3]
    assert course(out, capsys, "--board", "C")[0]["place"] == "rank 9 or lower"


def test_the_csv_has_a_row_per_evaluation(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.append(out, result(1.0, "a"))
    ledger.append(out, result(3.0, "a", recipe={"name": 'with "quotes", and\nlines'}))

    assert main(["history", "--output", str(out), "--csv", "-"]) == 0

    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["mean"] for row in rows] == ["1.0", "3.0"]
    assert rows[1]["recipe"] == 'with "quotes", and\nlines'
    assert rows[1]["change_db"] == "2.0"
    assert rows[1]["bass"] == "1.0"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--last", "0"], "expected --last to be at least 1"),
        (["--recipe", "none"], "expected evaluations that match --recipe in"),
        (["--track", "cdx"], "expected evaluations that match --track in"),
        (["--board", "Z"], "'Z' is no board"),
        (["--track", "mdx", "--board", "cdx23-a"], "is a board of the track 'cdx'"),
        (["--json", "missing/file.json"], "expected a folder"),
    ],
)
def test_wrong_options_are_one_sentence(
    words: list[str], said: str, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append(out, result(1.0, "a"))

    assert main(["history", "--output", str(out), *words]) == 2

    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


def test_a_folder_without_a_history_says_so(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "--output", str(out)]) == 2

    assert "expected a history in" in capsys.readouterr().err


def test_entries_with_little_in_them_are_shown(out: Path) -> None:
    ledger.append(out, entry())

    assert main(["history", "--output", str(out)]) == 0


def edited(number: int, key: str, value: object) -> str:
    """A line whose key was changed by hand."""
    return json.dumps(asdict(result(1.0, "a")) | {"number": number, key: value}) + "\n"


@pytest.mark.parametrize(("key", "value"), [("seconds", "1.0"), ("time", 5), ("scores", {})])
def test_an_edited_entry_is_left_out_with_one_warning(
    key: str,
    value: object,
    out: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    ledger.append(out, result(1.0, "a"))
    with (out / ledger.FILE).open("a", encoding="utf-8") as file:
        file.write(edited(2, key, value))

    assert main(["history", "--output", str(out)]) == 0

    assert [line[:2] for line in capsys.readouterr().out.splitlines() if line[:1] == "@"] == ["@1"]
    assert len(caplog.messages) == 1


def test_an_empty_history_has_no_evaluations(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out.mkdir(exist_ok=True)
    (out / ledger.FILE).write_text("", encoding="utf-8")

    assert main(["history", "--output", str(out)]) == 2

    assert "adds one" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["history"], ["score", "a", "b"], ["compare", "a", "b"]])
def test_only_one_report_can_be_printed(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--json", "-", "--csv", "-"]) == 2

    assert "expected one of --json and --csv to be -" in capsys.readouterr().err


# The machine and the versions


def test_the_device_is_named_without_torch_if_there_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(description, "GPU_FILES", ())
    monkeypatch.delenv("DEMIX_DEVICE", raising=False)

    assert description.device_name() == "cpu"
    assert description.device_name("cpu") == "cpu"


def test_a_checkout_has_a_revision_and_knows_of_changes(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        author = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *author, *words], cwd=tmp_path, check=True, capture_output=True)

    assert description.git_state(tmp_path) == (None, None)
    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "first")
    revision, changed = description.git_state(tmp_path)
    assert (len(revision or ""), changed) == (40, False)
    (tmp_path / "untracked").write_text("two")
    assert description.git_state(tmp_path) == (revision, False)
    (tmp_path / "file").write_text("two")
    assert description.git_state(tmp_path) == (revision, True)


def test_without_git_the_revision_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", "")

    assert description.git_state(tmp_path) == (None, None)


def test_a_version_that_is_not_known_is_a_dash() -> None:
    assert history.version({}) == "-"
