"""The page of the listening report: escaping, policy, assets, tables, files beside it."""

import hashlib
import html.parser
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

from demixing.errors import EvaluationError
from demixing.evaluation.report_json import Omission
from demixing.report import making, page, runs, signs, tables, writing
from demixing.report.evaluated import Put
from demixing.report.page import Contents, Storage
from tests.small_runs import write_run

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "demixing" / "report" / "assets"
HOSTILE = "</script><script>alert(1)</script>\"'<!--&amp; 🎵 \u202ertl \udce9"
NO_SONGS = Contents(title="Report", systems={"mdx": ["a"]}, songs=[])


class Reader(html.parser.HTMLParser):
    """Collects what a browser would see.

    Attributes:
        tags: of all elements, with their attributes.
        json: contents of scripts with data, by id.
        text: everything else.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.json: dict[str, str] = {}
        self.text = ""
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._script = str(dict(attrs).get("id")) if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.text += data
        else:
            self.json[self._script] = data


def song(name: str) -> dict[str, object]:
    return {"name": name, "seconds": 1.0, "views": []}


def one_table(name: str) -> tables.Table:
    cells = [tables.Cell(-1.5), tables.Cell(None, "*")]
    return tables.Table(
        "mdx", name, name, "dB", [name], [tables.Row(name, 0, 0, cells)], [], [name]
    )


def test_names_from_outside_are_only_text() -> None:
    contents = Contents(
        title=HOSTILE[:-2],
        systems={"mdx": [HOSTILE[:-2], "b"]},
        songs=[song(HOSTILE)],
        tables=[one_table(HOSTILE[:-2])],
    )

    found = Reader(page.html(contents, Storage(key=HOSTILE)))
    plain = Reader(page.html(NO_SONGS, Storage(key="k")))

    scripts = [attributes for tag, attributes in found.tags if tag == "script"]
    assert len(scripts) == len([tag for tag, _ in plain.tags if tag == "script"])
    assert all("nonce" in one or one["type"] == "application/json" for one in scripts)
    assert json.loads(found.json["data"])["songs"][0]["name"] == HOSTILE
    assert HOSTILE[:-2] in found.text
    values = [value or "" for _, attributes in found.tags for value in attributes.values()]
    assert any(HOSTILE[:-2] in value for value in values)  # quotes do not end an attribute


def test_json_in_a_script_has_no_character_of_html() -> None:
    text = page.as_json({HOSTILE: [HOSTILE]})

    assert not set(text) & set("<>&")
    assert text.isascii()
    assert json.loads(text) == {HOSTILE: [HOSTILE]}


def test_the_page_asks_for_nothing_outside() -> None:
    text = page.html(NO_SONGS, Storage(key="k"))
    found = Reader(text)

    (policy,) = (
        attributes["content"]
        for tag, attributes in found.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert str(policy).startswith("default-src 'none';")
    assert not re.search(r"https?:|\*|unsafe|'self'|file:", str(policy))
    assert not [one for _, one in found.tags if {"src", "style", "onclick"} & one.keys()]
    links = [str(one["href"]) for _, one in found.tags if "href" in one]
    assert all(link.startswith("#") for link in links)


def test_each_page_has_a_mark_of_its_own() -> None:
    first, second = (
        {
            one["nonce"]
            for _, one in Reader(page.html(NO_SONGS, Storage(key="k"))).tags
            if "nonce" in one
        }
        for _ in "12"
    )

    assert len(first) == len(second) == 1
    assert first != second


def test_every_script_is_in_the_page() -> None:
    own = {path.stem for path in (ASSETS / "js").glob("*.js")}

    assert set(page.SCRIPTS) == own
    assert not [text for text in page.scripts() if "</script" in text.lower()]
    assert "</style" not in page.asset("style.css").lower()


def test_the_library_is_the_published_one() -> None:
    folder = ASSETS / "vendor" / "wavesurfer"
    source = tomllib.loads((folder / "source.toml").read_text(encoding="utf-8"))

    digest = hashlib.sha256((folder / source["file"]).read_bytes()).hexdigest()

    assert digest == source["sha256"]
    assert (source["version"], source["license"]) == ("8.0.1", "BSD-3-Clause")
    assert "BSD 3-Clause License" in (folder / "LICENSE").read_text(encoding="utf-8")


def test_the_assets_are_in_the_wheel() -> None:
    builder = WheelBuilder(str(ROOT))
    wheel = {str(file.distribution_path) for file in builder.recurse_included_files()}

    assert {str(path.relative_to(ROOT)) for path in ASSETS.rglob("*") if path.is_file()} <= wheel
    assert "demixing/report/assets/page.html" in wheel


def test_the_page_carries_the_licence_of_the_library() -> None:
    assert "Redistributions of source code" in Reader(page.html(NO_SONGS, Storage(key="k"))).text


# Tables


@pytest.fixture
def run(tmp_path: Path) -> Path:
    omission = Omission(member="big", part=0.25, reason="out of time")
    return write_run(
        tmp_path / "mdx",
        songs={"b": 1.5, "a": 2.5},
        silent=["drums"],
        omissions={"a": [omission]},
    )


def test_the_table_has_the_official_scores(run: Path) -> None:
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))

    table = tables.official(runs.read([run]), {"a": 7})

    assert [row.name for row in table.rows] == ["a", "b"]
    assert [row.song for row in table.rows] == [7, None]
    assert [row.name for row in table.below] == ["MEAN", "MEAN, active", "MEDIAN, active"]
    assert table.below[0].cells[0].value == scores["mean_db"]
    assert table.below[1].cells[0].value == scores["active_mean"]["song_db"]
    assert table.definition == scores["metric"]["definition"]
    assert table.described == f" (sdr-mdx23: {table.definition}), dB"
    assert table.below[1].cells[2].text == signs.DASH  # drums are active in no song


def test_marks_and_omissions_are_explained(run: Path) -> None:
    table = tables.official(runs.read([run]), {})

    row = table.rows[0]
    assert [cell.mark for cell in row.cells] == ["!", "", "*", "", ""]
    assert [note.partition(":")[0] for note in table.notes] == [
        "* silent reference",
        "active",
        "! a, a",
    ]
    assert table.notes[-1] == "! a, a: big is missing in 25% of the song: out of time"


def test_negative_scores_have_a_minus_sign() -> None:
    assert tables.Cell(-1.5).text == "\N{MINUS SIGN}1.500"
    assert tables.Cell(-0.0001).text == "0.000"


@pytest.mark.parametrize("unit", ["points", ""])
def test_further_metrics_have_tables_of_their_own(run: Path, unit: str) -> None:
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    stems = {"bass": 1.0, "drums": None, "other": 3.0, "vocals": 4.0}
    scores["metrics"] = {
        "other": {
            "id": "other-1",
            "title": "Other",
            "definition": "some",
            "unit": unit,
            "higher_is_better": False,
            "mean": 2.5,
            "stems": stems,
            "songs": {"a": {"mean": 2.5, "stems": stems}},
        }
    }
    (run / "scores.json").write_text(json.dumps(scores), encoding="utf-8")

    (table,) = tables.further(runs.read([run]), {"a": 0})

    assert table.title == "Other"
    assert table.described == f" (other-1: some){unit and ', points'}, lower is better"
    assert [cell.value for cell in table.rows[0].cells] == [2.5, 1.0, None, 3.0, 4.0]
    assert [row.name for row in table.below] == ["MEAN"]


# Runs


def test_a_folder_with_runs_counts_as_these(tmp_path: Path) -> None:
    write_run(tmp_path / "mdx", songs={"a": 1})
    write_run(tmp_path / "cdx", track="cdx", songs={"c": 1})

    assert [run.track for run in runs.read([tmp_path])] == ["mdx", "cdx"]


def test_equal_recipes_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    pair = [write_run(tmp_path / name, songs={"a": 1}) for name in ("x", "y")]

    first, second = runs.labels(runs.read(pair))

    assert first != second
    assert first.endswith("x)")


def test_only_songs_of_all_runs_are_compared(tmp_path: Path) -> None:
    pair = [
        write_run(tmp_path / "x", songs={"a": 1, "e\u0301": 1, "only": 1}),
        write_run(tmp_path / "y", songs={"a": 1, "\u00e9": 1}, recipe="b"),
    ]

    group = runs.by_track(runs.read(pair))["mdx"]

    assert runs.common(group) == ["a", "e\u0301"]  # one name in two forms of Unicode
    assert "a has 1 more song, not in all runs" in tables.official(group, {}).notes[-1]


def drop_scores(run: Path) -> None:
    (run / "scores.json").unlink()


def empty_scores(run: Path) -> None:
    (run / "scores.json").write_text("[]", encoding="utf-8")


def change_scores(**changes: object) -> Callable[[Path], None]:
    """Edit scores.json as a person might."""

    def change(run: Path) -> None:
        path = run / "scores.json"
        scores = json.loads(path.read_text(encoding="utf-8")) | changes
        path.write_text(json.dumps(scores), encoding="utf-8")

    return change


def drop_stem(run: Path) -> None:
    (run / "predictions" / "a" / "bass.wav").unlink()


def drop_manifest(run: Path) -> None:
    (run / "run.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_scores, "expected a folder that `demixing evaluate` has left"),
        (drop_manifest, "run.json"),
        (empty_scores, "expected scores to have 'active_mean', which is missing"),
        (change_scores(mean_db="7"), "expected scores.mean_db to be a finite number, got '7'"),
        (change_scores(mean_db=True), "expected scores.mean_db to be a finite number, got True"),
        (change_scores(stems_db=[1, 2]), "expected scores.stems_db to be a table, got a list"),
        (change_scores(stems_db={}), "expected scores.stems_db to have 'bass', which is missing"),
        (change_scores(metric="sdr"), "expected scores.metric to be a table, got 'sdr'"),
        (change_scores(active_mean=None), "expected scores.active_mean to be a table, got None"),
        (change_scores(track=["mdx"]), "expected scores.track to be a text, got a list"),
        (change_scores(songs={}), "expected scores.songs to be a list, got a table"),
        (
            change_scores(songs=[{"name": 5}]),
            "expected scores.songs.0. to have 'mean_db', which is missing",
        ),
        (change_scores(metrics=[1]), "expected scores.metrics to be a table, got a list"),
        (
            change_scores(metrics={"x": {"id": "y"}}),
            "expected scores.metrics.'x' to have 'definition'",
        ),
        (drop_stem, "expected the stem 'bass' of song 'a'"),
    ],
)
def test_an_unfinished_run_is_refused(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    run = write_run(tmp_path / "mdx", songs={"a": 1})
    damage(run)

    with pytest.raises(EvaluationError, match=message):
        runs.read([run])


def test_runs_of_other_songs_cannot_be_compared(tmp_path: Path) -> None:
    pair = [write_run(tmp_path / name, songs={name: 1}) for name in "xy"]

    with pytest.raises(EvaluationError, match="no song in common"):
        runs.by_track(runs.read(pair))


@pytest.mark.parametrize("change", [{"songs": {"a": 2}}, {"songs": {"a": 1}, "silent": ["bass"]}])
def test_other_recordings_of_one_name_cannot_be_compared(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    pair = [
        write_run(tmp_path / "x", songs={"a": 1}),
        write_run(tmp_path / "y", **change),
    ]

    with pytest.raises(EvaluationError, match="same references of song 'a'"):
        runs.by_track(runs.read(pair))


# Files


def parts_of(page_text: str) -> dict[str, Any]:
    found = Reader(page_text).json
    return {name: json.loads(text) for name, text in found.items() if name.startswith("part-")}


def test_small_sound_is_in_the_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "mdx", songs={"a": 1.5})

    making.of_runs([run], tmp_path / "r.html")

    parts = parts_of((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert list(parts) == ["part-0-mixture", *(f"part-0-{stem}" for stem in range(4))]
    assert list(parts["part-0-1"]) == ["reference", "estimate-0", "error-0"]
    assert not (tmp_path / "r_files").exists()


def test_large_sound_is_in_files_beside_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "mdx", songs={"a": 1.5})
    (tmp_path / "r_files").mkdir()
    (tmp_path / "r_files" / "mine.txt").write_text("kept")

    making.of_runs([run], tmp_path / "r.html", place=writing.BESIDE)

    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    data = json.loads(Reader(text).json["data"])
    files = {path.name for path in (tmp_path / "r_files").iterdir()}
    assert not parts_of(text)
    assert data["folder"] == "r_files"
    assert files == {"mine.txt", "0-mixture.js", *(f"0-{stem}.js" for stem in range(4))}
    script = (tmp_path / "r_files" / "0-2.js").read_text(encoding="utf-8")
    arguments = script.removeprefix("listening.add(").removesuffix(");\n")
    key, name, part = json.loads(f"[{arguments}]")
    assert (key, name) == (data["key"], "0-2")
    assert set(part["error-0"]) == {"sound", "picture"}
    assert {path.name for path in tmp_path.iterdir()} == {"mdx", "r.html", "r_files"}


def test_no_page_is_there_while_its_files_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "mdx", songs={"a": 1.5})
    page = tmp_path / "r.html"
    making.of_runs([run], page, place=writing.BESIDE)
    there = []
    replace = Path.replace

    def watched(file: Path, target: Path) -> Path:
        there.append(target.suffix == ".js" and page.exists())
        return replace(file, target)

    monkeypatch.setattr(Path, "replace", watched)
    making.of_runs([run], page, place=writing.BESIDE)

    assert len(there) == 6
    assert not any(there)


@pytest.mark.parametrize(
    ("place", "seconds", "apart"),
    [("auto", 900, False), ("auto", 1100, True), ("embed", 1e6, False), ("beside", 1, True)],
)
def test_the_amount_of_sound_decides_where_it_goes(place: str, seconds: float, apart: bool) -> None:
    assert writing.beside(place, seconds, 96) is apart


@pytest.mark.parametrize("apart", [False, True])
def test_a_failure_leaves_the_earlier_page(tmp_path: Path, apart: bool) -> None:
    target = tmp_path / "r.html"
    target.write_text("earlier")

    def contents(put: Put) -> Contents:
        put("0-0", {"a": {"sound": "x"}})
        raise EvaluationError("damaged")

    with pytest.raises(EvaluationError, match="damaged"):
        writing.write(target, contents, apart=apart)

    assert target.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "r.html").symlink_to(tmp_path / "real" / "x.html")

    writing.write(tmp_path / "r.html", lambda _: NO_SONGS, apart=False)

    assert (tmp_path / "r.html").is_symlink()
    assert (tmp_path / "real" / "x.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_page_that_cannot_be_written_is_refused_early(tmp_path: Path) -> None:
    (tmp_path / "b_files").write_text("mine")
    (tmp_path / "d.html").mkdir()

    for name, message in {
        "a.txt": "expected the name of a page",
        "none/a.html": "expected a folder",
        "b.html": "expected a folder or nothing",
        "d.html": "which is a folder or a device",
    }.items():
        with pytest.raises(EvaluationError, match=message):
            writing.check(tmp_path / name)
