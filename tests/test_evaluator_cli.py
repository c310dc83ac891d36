"""The command line and the reports it writes."""

import contextlib
import csv
import io
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from demixing import printing
from demixing.errors import EvaluationError
from demixing.evaluation import metrics, report, report_files, report_json
from demixing.evaluation.audio import Layout
from demixing.evaluation.scoring import SongScore
from demixing.evaluation.songs import STEMS
from demixing.evaluation.summary import Summary, summarise
from evaluator.__main__ import main

ROOT = Path(__file__).parents[1]
HEADER = "SDR (sdr-mdx23: MDX'23/CDX'23 global SDR, delta 1e-7), dB"
ODD_NAMES = ["Ångström, 曲", "two\nlines\r", '100 %, "quoted"', "back\\slash", "=1+1", "\udce9"]


def noise(seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).integers(-8000, 8000, (600, 2)) / 2**15


def write_songs(folder: Path, names: list[str], gain: float) -> Path:
    for seed, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for stem in STEMS["mdx"]:
            soundfile.write(folder / name / f"{stem}.wav", gain * noise(seed), 44_100)
    return folder


@pytest.fixture
def references(tmp_path: Path) -> Path:
    return write_songs(tmp_path / "references", ["a", "b"], gain=1)


@pytest.fixture
def estimates(tmp_path: Path) -> Path:
    """Half as loud, so that every score is 6.021 dB."""
    return write_songs(tmp_path / "estimates", ["a", "b"], gain=0.5)


def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evaluator", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def summary_of(
    names: list[str], silent: tuple[str, ...] = (), nearly: tuple[str, ...] = ()
) -> Summary:
    stems_db = dict(zip(STEMS["mdx"], (1.0, -0.0001, 100.0, -77.1235), strict=True))
    levels_dbfs = {
        stem: -math.inf if stem in silent else -60.5 if stem in nearly else -20.25
        for stem in stems_db
    }
    layout = Layout(44_100, 2, 600)
    scores = [SongScore(name, stems_db, silent, layout, levels_dbfs) for name in names]
    return summarise(scores, "mdx")


def first_cells(lines: list[str]) -> list[str]:
    return [re.split("  +", line)[0] for line in lines]


@pytest.mark.process
def test_a_shell_gets_the_table_and_status_zero(references: Path, estimates: Path) -> None:
    done = run(references, estimates)

    assert done.returncode == 0
    assert done.stderr == ""
    header, titles, *rows = done.stdout.splitlines()
    assert header == HEADER
    assert titles.split() == ["song", "mean", "bass", "drums", "other", "vocals"]
    assert first_cells(rows) == ["a", "b", "MEAN", "MEAN, active", "MEDIAN, active"]
    numbers = [float(number) for row in rows for number in row.split()[-5:]]
    assert numbers == pytest.approx([6.021] * 25, abs=0.01)


@pytest.mark.process
def test_a_shell_gets_a_sentence_and_status_two_for_a_mistake(
    references: Path, estimates: Path, tmp_path: Path
) -> None:
    (estimates / "b" / "vocals.wav").write_text("no audio")

    done = run(references, estimates, "--json", tmp_path / "s.json", "--csv", tmp_path / "s.csv")

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: expected a readable wav or flac file at")
    assert done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"references", "estimates"}


@pytest.mark.process
def test_an_ascii_terminal_gets_escapes(tmp_path: Path) -> None:
    songs = write_songs(tmp_path, ["Ångström 曲"], gain=1)

    done = run(songs, songs, PYTHONIOENCODING="ascii")

    assert done.returncode == 0
    assert r"\xc5ngstr\xf6m \u66f2" in done.stdout


@pytest.mark.process
def test_a_folder_with_an_undecodable_name_is_scored(references: Path, estimates: Path) -> None:
    for folder in (references, estimates):
        (folder / "b").rename(folder / os.fsdecode(b"caf\xe9"))

    done = run(references, estimates)

    assert done.returncode == 0, done.stderr
    assert "6.021" in done.stdout


@pytest.mark.process
def test_help_and_names_of_metrics_do_not_wait_for_numpy() -> None:
    program = "import sys, evaluator.__main__ as m; m._parser(); print('numpy' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])

    text = capsys.readouterr().out
    assert stopped.value.code == 0
    for word in ("references", "estimates", "--track", "--songs", "--json", "--csv", "--metric"):
        assert word in text


def test_progress_is_shown_on_a_terminal(
    references: Path,
    estimates: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    main([str(references), str(estimates)])

    assert capsys.readouterr().err == "scored 1 of 2: 'a'\nscored 2 of 2: 'b'\n"


def test_all_options_together(references: Path, estimates: Path, tmp_path: Path) -> None:
    options = ["--track", "mdx", "--songs", "b", "--metric", "sdr"]
    files = ["--json", str(tmp_path / "s.json"), "--csv", str(tmp_path / "s.csv")]

    with contextlib.redirect_stdout(io.StringIO()) as out:
        main([str(references), str(estimates), *options, *files])

    assert first_cells(out.getvalue().splitlines()[2:4]) == ["b", "MEAN"]
    written = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert [song["name"] for song in written["songs"]] == ["b"]
    assert (tmp_path / "s.csv").read_text(encoding="utf-8").startswith("song,mean,bass,")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["REFERENCES", "nowhere"], "error: expected a folder of songs at 'nowhere'"),
        (["nowhere", "ESTIMATES"], "error: expected a folder of songs at 'nowhere'"),
        (["REFERENCES", "ESTIMATES", "--track", "cdx"], "found none; check the path and the"),
        (["REFERENCES", "ESTIMATES", "--songs", "c"], "got 'c'; the first is 'a'"),
        (["REFERENCES", "ESTIMATES", "--json", "nowhere/s.json"], "folder at 'nowhere'"),
        (["REFERENCES", "ESTIMATES", "--csv", "."], "a folder or a device; name a file"),
        (["REFERENCES", "ESTIMATES", "--json", os.devnull], "or a device; name a file"),
        (["REFERENCES", "ESTIMATES", "--metric", "sdrr"], "did you mean 'sdr'?"),
        (["REFERENCES"], "required: estimates"),
    ],
)
def test_mistakes_are_a_message_and_status_two(
    references: Path,
    estimates: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    folders = {"REFERENCES": str(references), "ESTIMATES": str(estimates)}

    with pytest.raises(SystemExit) as stopped:
        main([folders.get(word, word) for word in arguments])

    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert printed.out == ""
    assert message in printed.err


def test_an_error_leaves_earlier_reports_as_they_were(
    references: Path, estimates: Path, tmp_path: Path
) -> None:
    (estimates / "b" / "vocals.wav").unlink()
    (tmp_path / "s.json").write_text("of last week")

    with pytest.raises(SystemExit):
        main([str(references), str(estimates), "--json", str(tmp_path / "s.json")])

    assert (tmp_path / "s.json").read_text() == "of last week"


def test_the_table_shows_means_and_marks_silent_references() -> None:
    table = report.text_table(summary_of(["song", "s"], ("vocals",)), metrics.load("sdr"))

    assert table.splitlines() == [
        HEADER,
        "song              mean    bass   drums     other    vocals",
        "s                5.969   1.000   0.000   100.000   -77.124*",
        "song             5.969   1.000   0.000   100.000   -77.124*",
        "MEAN             5.969   1.000   0.000   100.000   -77.124",
        "MEAN, active    33.667   1.000   0.000   100.000         -",
        "MEDIAN, active  33.667   1.000   0.000   100.000         -",
        "* silent reference: any sound in the estimate costs tens of dB",
        "active: without the scores marked * or ~",
    ]


def test_nearly_silent_references_have_another_mark() -> None:
    summary = summary_of(["s"], silent=("vocals",), nearly=("other",))

    lines = report.text_table(summary, metrics.load("sdr")).splitlines()

    assert lines[2] == "s               5.969   1.000   0.000   100.000~  -77.124*"
    assert lines[-2].startswith("~ nearly silent reference, RMS below -60 dBFS: ")
    assert len(lines) == 9


def test_without_active_references_only_the_official_mean_is_left() -> None:
    summary = summary_of(["s"], silent=STEMS["mdx"])

    table = report.text_table(summary, metrics.load("sdr"))
    written = json.loads(report_json.json_report(summary, metrics.load("sdr")))

    assert re.search("^MEAN +5.969 ", table, re.MULTILINE)
    assert re.search("^MEAN, active( +-){5}$", table, re.MULTILINE)
    assert written["mean_db"] == summary.mean_db
    assert written["active_median"] == {
        "song_db": None,
        "stems_db": dict.fromkeys(STEMS["mdx"]),
    }
    assert written["songs"][0]["active_mean_db"] is None


def test_without_silent_references_there_is_no_footnote() -> None:
    table = report.text_table(summary_of(["song"]), metrics.load("sdr"))

    assert "*" not in table
    assert table.count("\n") == 6


def test_every_song_is_one_line_and_columns_are_aligned() -> None:
    table = report.text_table(summary_of(ODD_NAMES), metrics.load("sdr"))

    lines = table.splitlines()
    assert len(lines) == len(ODD_NAMES) + 5
    ends = {printing.columns(re.split(r"5\.969", line)[0]) for line in lines[2:]}
    assert len(ends) == 1
    assert any(line.startswith(r"two\nlines\r ") for line in lines)


def test_combining_accents_have_no_width() -> None:
    assert printing.columns("e\N{COMBINING ACUTE ACCENT}") == 1


def test_names_that_differ_print_differently() -> None:
    assert printing.printable("a\nb") != printing.printable("a\\nb")


def test_the_json_has_everything() -> None:
    summary = summary_of(["曲\n", "\udce9"], ("vocals",), ("bass",))

    written = json.loads(report_json.json_report(summary, metrics.load("sdr")))

    assert written["metric"] == {
        "name": "sdr",
        "id": "sdr-mdx23",
        "title": "SDR",
        "definition": "MDX'23/CDX'23 global SDR, delta 1e-7",
    }
    assert written["track"] == "mdx"
    assert written["mean_db"] == summary.mean_db
    assert list(written["stems_db"].items()) == list(summary.stems_db.items())
    active = {"bass": None, "drums": -0.0001, "other": 100.0, "vocals": None}
    assert written["active_mean"] == {"song_db": 49.99995, "stems_db": active}
    assert written["active_median"] == {"song_db": 49.99995, "stems_db": active}
    assert [song["name"] for song in written["songs"]] == ["曲\n", "\udce9"]
    assert written["songs"][0] == {
        "name": "曲\n",
        "mean_db": summary.mean_db,
        "stems_db": dict(summary.stems_db),
        "active_mean_db": 49.99995,
        "silent_references": ["vocals"],
        "nearly_silent_references": ["bass"],
        "reference_levels_dbfs": {"bass": -60.5, "drums": -20.25, "other": -20.25, "vocals": None},
        "sample_rate_hz": 44_100,
        "channels": 2,
        "samples": 600,
    }


def test_the_csv_preserves_names_and_numbers() -> None:
    rows = list(
        csv.reader(
            report.csv_report(summary_of(ODD_NAMES), [metrics.load("sdr")]).splitlines(
                keepends=True
            )
        )
    )

    assert rows[0][:6] == ["song", "mean", "bass", "drums", "other", "vocals"]
    assert [row[0] for row in rows[1:]] == [
        *sorted(ODD_NAMES),
        "MEAN",
        "MEAN, active",
        "MEDIAN, active",
    ]
    for row in rows[1:]:
        assert row[1:6] == ["5.969100", "1.000000", "-0.000100", "100.000000", "-77.123500"]


def test_the_csv_marks_silent_references_and_has_the_level_of_each() -> None:
    summary = summary_of(["s"], silent=("other", "vocals"), nearly=("bass",))

    song, mean, active, _ = csv.DictReader(
        io.StringIO(report.csv_report(summary, [metrics.load("sdr")]))
    )

    assert (song["silent"], song["nearly_silent"]) == ("other vocals", "bass")
    assert (song["bass_dbfs"], song["other_dbfs"]) == ("-60.500000", "")
    assert (mean["vocals"], mean["silent"], mean["bass_dbfs"]) == ("-77.123500", "", "")
    assert (active["mean"], active["drums"], active["vocals"]) == (
        "-0.000100",
        "-0.000100",
        "",
    )


OMISSIONS = {
    "b": ["half of it without x (late)", "all of it without y (late)"],
    "c\n": ["z"],
    "a": [],
}


def test_the_table_lists_omissions_and_counts_their_songs() -> None:
    table = report.text_table(summary_of(["a", "b", "c\n"]), metrics.load("sdr"), OMISSIONS)

    lines = table.splitlines()
    assert [line.split()[1] for line in lines[2:5]] == ["5.969", "5.969!", "5.969!"]
    assert len({line.index("5.969") for line in lines[2:5]}) == 1
    assert lines[8:] == [
        "! b: half of it without x (late); all of it without y (late)",
        r"! c\n: z",
        "2 of 3 songs were separated without part of the recipe",
    ]


def test_the_csv_has_a_column_for_omissions() -> None:
    text = report.csv_report(summary_of(["a", "b"]), [metrics.load("sdr")], OMISSIONS)

    rows = list(csv.DictReader(io.StringIO(text)))

    assert [row["omissions"] for row in rows] == [
        "",
        "half of it without x (late); all of it without y (late)",
        "",
        "",
        "",
    ]


def test_scores_of_other_systems_have_no_omissions() -> None:
    summary, sdr = summary_of(["a"]), metrics.load("sdr")

    assert report.text_table(summary, sdr, {"a": []}) == report.text_table(summary, sdr)
    assert (
        json.loads(report_json.json_report(summary, sdr, {"a": []}))["songs"][0]["omissions"] == []
    )
    assert "omissions" not in report_json.json_report(summary, sdr)
    assert "omissions" not in report.csv_report(summary, [sdr])


def test_a_report_replaces_the_old_one_and_leaves_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("a longer text of last week")
    (tmp_path / "link.csv").symlink_to(path)

    report_files.write_report(tmp_path / "link.csv", "曲\r\n\udce9\n")

    assert path.read_bytes() == "曲\r\n".encode() + rb"\udce9" + b"\n"
    assert {entry.name for entry in tmp_path.iterdir()} == {"s.csv", "link.csv"}
    assert (tmp_path / "link.csv").is_symlink()


def test_a_report_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    report_files.write_report(tmp_path / "s.csv", "")

    (tmp_path / "other").touch()
    assert (tmp_path / "s.csv").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    for name in ("x" * 300, "loop/s.json"):
        with pytest.raises(EvaluationError, match=r"cannot write |expected "):
            report_files.write_report(tmp_path / name, "text")

    assert [entry.name for entry in tmp_path.iterdir()] == ["loop"]
