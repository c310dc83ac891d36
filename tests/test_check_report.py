"""The report of a data set: what it measures, how it sorts, and what it plays."""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from demixing.cli.main import main
from demixing.plots import check_excerpts, check_page, check_songs
from demixing.plots.check_songs import SongRow
from demixing.training.data import check
from demixing.training.data.checks.analysis import FileAnalysis
from demixing.training.data.checks.findings import Finding
from tests.missing import not_installed
from tests.test_training_check import MDX, RATE_HZ, SECONDS, make, write
from tests.valid_html import read

pytestmark = pytest.mark.engine

HOSTILE = "<script>alert('x')<|script> & \"b\""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three songs: sound, silent in a stem, and with four faults and a name that is code."""
    folder = tmp_path_factory.mktemp("data")
    write(folder / "good", make(0), mixture=True)
    quiet = make(1)
    quiet["vocals"][:] = 0
    write(folder / "quiet", quiet)
    bad = make(2)
    bad["vocals"][6 * RATE_HZ : 7 * RATE_HZ] = (bad["vocals"] * 100)[
        6 * RATE_HZ : 7 * RATE_HZ
    ].clip(-1, 1)
    bad["drums"] = bad["drums"] + 0.01
    bad["drums"][:, 1] = 0
    bad["other"] = bad["other"][:-800]
    write(folder / HOSTILE, bad)
    return folder


@pytest.fixture(scope="module")
def result(data: Path, tmp_path_factory: pytest.TempPathFactory) -> check.Report:
    return check.check([data], cache=tmp_path_factory.mktemp("cache"), jobs=1)


@pytest.fixture(scope="module")
def rows(result: check.Report) -> list[SongRow]:
    return check_songs.rows(result)


def finding(row: SongRow, kind: str) -> Finding:
    return next(one for one in row.findings if one.kind == kind)


def test_songs_are_sorted_by_faults_then_notes(rows: list[SongRow]) -> None:
    assert [row.name for row in rows] == [HOSTILE, "quiet", "good"]
    assert [row.faults for row in rows] == [4, 0, 0]
    assert {one.kind for one in rows[0].findings} == {"short", "clipped", "offset", "dead"}
    assert [one.kind for one in rows[1].findings] == ["silent"]


def test_two_files_of_a_mixture_are_its_channels(rows: list[SongRow]) -> None:
    """A stem in several files is their sum instead."""
    row = next(row for row in rows if row.name == "good")
    paths = (Path("Lt.wav"), Path("Rt.wav"))
    song = dataclasses.replace(row.song, mixture=paths, stems={"bass": paths})
    analysis = dataclasses.replace(
        row.analysis,
        files={
            f"{stem} {side}": FileAnalysis(stem=stem, samples=1, rate_hz=RATE_HZ, power=0.01)
            for stem in ("mixture", "bass")
            for side in range(2)
        },
    )

    found = {one.stem: one.rms_dbfs for one in check_songs.levels(song, analysis)}

    assert found == {"bass": pytest.approx(-16.99, abs=0.01), "mixture": pytest.approx(-20)}


def test_levels_are_those_of_the_files(data: Path, rows: list[SongRow]) -> None:
    for row in rows:
        for stem, level in row.levels.items():
            audio, _ = soundfile.read(data / row.name / f"{stem}.wav")
            if not audio.any():
                assert (level.rms_dbfs, level.peak_dbfs, level.active) == (None, None, 0)
                continue
            rms_dbfs = 10 * math.log10(np.square(audio).mean())
            assert level.rms_dbfs == pytest.approx(rms_dbfs, abs=0.01)
            assert level.peak_dbfs == pytest.approx(20 * math.log10(abs(audio).max()), abs=0.01)
            assert level.active == (None if stem == "mixture" else 1)


def test_the_dots_are_the_songs(rows: list[SongRow]) -> None:
    lowest = check_page.lowest_dbfs(rows)

    found = check_page.levels_of("vocals", rows, lowest)

    assert lowest <= check_page.HIGHEST_DBFS
    assert (len(found.dots), found.silent) == (2, 1)
    assert [dot.fault for dot in found.dots] == [True, False]
    for dot in found.dots:
        level = rows[dot.row].levels["vocals"].rms_dbfs
        assert level is not None
        assert dot.x / check_page.DOT + lowest == round(level)


def test_stacked_dots_do_not_hide_each_other(rows: list[SongRow]) -> None:
    found = check_page.levels_of("bass", rows * 5, -50)

    places = {(dot.x, dot.height) for dot in found.dots}
    assert len(places) == len(found.dots) == 15
    assert max(dot.height for dot in found.dots) < found.height


@pytest.mark.parametrize(("kind", "second"), [("clipped", 4), ("short", 3)])
def test_an_excerpt_is_around_the_place(kind: str, second: float, rows: list[SongRow]) -> None:
    (one,) = check_excerpts.of_finding(rows[0], finding(rows[0], kind))

    # The clipped second is the seventh of nine, so the excerpt is the last one that fits.
    assert one.start_s == pytest.approx(min(second, SECONDS - check_excerpts.LENGTH_S))
    assert one.uri.startswith("data:audio/ogg;base64,T2dn")  # "Ogg"


def test_excerpts_have_one_peak_and_say_the_gain(
    data: Path, rows: list[SongRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[NDArray[np.float32]] = []

    def keep(audio: NDArray[np.float32], rate_hz: int) -> str:
        played.append(audio)
        return "data:audio/ogg;base64,"

    monkeypatch.setattr("demixing.audio.inline.data_uri", keep)

    (one,) = check_excerpts.of_finding(rows[0], finding(rows[0], "offset"))

    assert abs(played[0]).max() == pytest.approx(check_excerpts.PEAK, rel=1e-5)
    start = round(one.start_s * RATE_HZ)
    drums, _ = soundfile.read(data / HOSTILE / "drums.wav", start=start, dtype="float32")
    gain = 10 ** (one.gain_db / 20)
    np.testing.assert_allclose(played[0], gain * drums[: len(played[0])], atol=1e-5)


def excerpts_of(folder: Path, kind: str) -> dict[str, float]:
    """Titles and starts of the excerpts for the first finding of a kind."""
    (row, *_) = check_songs.rows(check.check([folder], jobs=1))
    return {one.title: one.start_s for one in check_excerpts.of_finding(row, finding(row, kind))}


def test_bleeding_is_shown_where_the_stem_is_quiet(tmp_path: Path) -> None:
    song = make(3)
    song["bass"][2 * RATE_HZ : 4 * RATE_HZ] *= 1e-3
    song["bass"] += 0.1 * song["drums"]
    write(tmp_path / "song", song)

    assert excerpts_of(tmp_path, "bleeding") == {"bass": 0, "drums, at the same time": 0}


def test_a_wrong_sum_is_shown_by_its_difference(tmp_path: Path) -> None:
    song = make(4)
    song["mixture"] = sum(song.values(), np.zeros_like(song["bass"]))
    song["mixture"][:RATE_HZ] *= 0.5
    write(tmp_path / "song", song)

    assert excerpts_of(tmp_path, "sum") == {"mixture": 0, "mixture minus all stems": 0}


def test_a_nan_is_shown_at_its_place(tmp_path: Path) -> None:
    song = make(5)
    write(tmp_path / "song", song)
    broken = song["other"].astype(np.float32)
    broken[5 * RATE_HZ] = np.nan
    soundfile.write(tmp_path / "song" / "other.wav", broken, RATE_HZ, subtype="FLOAT")

    assert excerpts_of(tmp_path, "nan") == {"other": 3}


def test_what_cannot_be_heard_has_no_excerpt(tmp_path: Path) -> None:
    song = make(6)
    del song["other"]
    write(tmp_path / "song", song)
    (tmp_path / "song" / "bass.wav").write_bytes(b"RIFF")
    (row,) = check_songs.rows(check.check([tmp_path], jobs=1))

    found = {one.kind: check_excerpts.of_finding(row, one) for one in row.findings}

    assert found["missing"] == found["unreadable"] == []
    assert row.levels["bass"].rms_dbfs is None


def test_there_are_only_so_many_players(rows: list[SongRow]) -> None:
    found = check_excerpts.of_songs(rows, most=2)

    assert sum(map(len, found.values())) == 2
    assert all(one.fault for one in found)


def test_the_page_is_complete_and_loads_nothing(result: check.Report) -> None:
    text = check_page.page(result)

    page = read(text)
    assert "default-src 'none'" in text
    assert "http" not in text.replace("http-equiv", "")
    assert page.text.count(HOSTILE) >= 2
    assert "<script" not in text
    assert len(page.named("audio")) == 4
    assert all(tag.attributes.get("aria-label") for tag in page.named("audio"))
    assert page.named("html")[0].attributes["lang"] == "en"
    headers = [tag for tag in page.named("th") if tag.attributes.get("scope") == "row"]
    assert len(headers) == 3
    targets = {tag.attributes["href"] for tag in page.named("a")}
    ids = {f"#{tag.attributes['id']}" for tag in page.tags if "id" in tag.attributes}
    assert targets <= ids


def test_the_command_keeps_its_status_and_its_table(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["check", str(data), "--cache", str(tmp_path / "cache")]
    assert main(words) == 1
    before = capsys.readouterr().out

    assert main([*words, "--report", str(tmp_path / "report.html")]) == 1

    assert capsys.readouterr().out == before
    assert read((tmp_path / "report.html").read_text(encoding="utf-8")).named("table")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["cache", "report.html"]


def test_sound_data_has_a_page_and_status_0(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("good", "again"):
        write(tmp_path / "data" / name, make(10 + len(name)))
    path = tmp_path / "report.html"

    assert main(["check", str(tmp_path / "data"), "--report", str(path), "--json", "-"]) == 0

    assert [one["layout"] for one in json.loads(capsys.readouterr().out)["folders"]] == ["stems"]

    page = read(path.read_text(encoding="utf-8"))
    assert "No faults." in page.text
    assert not page.named("audio")


def test_several_folders_and_names_that_are_not_utf_8(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for seed, folder in enumerate(folders):
        write(folder / "song", make(20 + seed))
        (folder / "song").rename(folder / "song\udcff")
    path = tmp_path / "report.html"

    main(["check", *map(str, folders), "--report", str(path)])

    page = read(path.read_text(encoding="utf-8"))
    assert "Check of a, b" in page.text
    assert "a/song\\udcff" in page.text


@pytest.mark.parametrize("name", ["report.txt", "none/report.html"])
def test_a_page_that_cannot_be_written_is_refused_first(
    name: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(check, "check", None)  # nothing is read

    assert main(["check", str(data), "--report", str(tmp_path / name)]) == 2

    said = capsys.readouterr().err
    assert ("create it" if "none" in name else "ends in .html or .htm for a page") in said


def test_a_missing_package_gets_its_command(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    not_installed(monkeypatch, "jinja2")

    assert main(["check", str(data), "--report", str(tmp_path / "report.html")]) == 2

    assert "expected the package jinja2, which is not installed" in capsys.readouterr().err


def test_a_song_that_is_gone_by_then_has_no_players(tmp_path: Path) -> None:
    song = make(7)
    song["drums"][:, 1] = 0
    write(tmp_path / "song", song)
    report = check.check([tmp_path], jobs=1)
    shutil.rmtree(tmp_path / "song")

    page = read(check_page.page(report))

    assert "one channel is silent" in page.text
    assert not page.named("audio")
    assert [row.levels.keys() for row in check_songs.rows(report)] == [dict.fromkeys(MDX).keys()]
