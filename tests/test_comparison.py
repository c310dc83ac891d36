"""Systems are compared song by song, on equal references, and by active stems only."""

import csv
import io
import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from demixing.errors import EvaluationError
from demixing.evaluation import metrics, report_json
from demixing.evaluation.audio import Layout
from demixing.evaluation.comparison import export, reading, table
from demixing.evaluation.comparison.differences import compare
from demixing.evaluation.comparison.pairing import pair
from demixing.evaluation.comparison.results import Comparison
from demixing.evaluation.comparison.scores import System
from demixing.evaluation.comparison.verdict import sentences
from demixing.evaluation.scoring import SongScore
from demixing.evaluation.songs import STEMS
from demixing.evaluation.summary import summarise

MDX = STEMS["mdx"]
SONGS = ("a", "b", "c", "d", "e", "f", "g", "h")


def contents(
    scores: Mapping[str, float | Mapping[str, float]],
    *,
    silent: Mapping[str, str] = MappingProxyType({}),
    level_dbfs: float = -20.0,
    samples: int = 441_000,
) -> Any:
    """What `demixing evaluate` writes.

    A song has one score for all stems, or one for each. ``silent`` names a silent stem by song.
    """
    songs = [
        SongScore(
            name=name,
            stems_db=dict.fromkeys(MDX, one) if isinstance(one, float | int) else dict(one),
            silent=(silent[name],) if name in silent else (),
            layout=Layout(44_100, 2, samples),
            levels_dbfs={
                stem: -math.inf if silent.get(name) == stem else level_dbfs for stem in MDX
            },
        )
        for name, one in scores.items()
    ]
    return json.loads(report_json.json_report(summarise(songs, "mdx"), metrics.load("sdr")))


def read(table: Any, name: str = "A", **options: Any) -> System:
    options = {"kind": "scores", "metric": "sdr"} | options
    return reading.system(table, repr(f"{name}.json"), name=name, **options)


def compared(*tables: Any, per_artist: bool = False) -> Comparison:
    return compare(
        pair([read(one, name) for one, name in zip(tables, "ABC", strict=False)]),
        per_artist=per_artist,
    )


# Differences


def test_songs_are_compared_with_themselves() -> None:
    """The songs differ by 70 dB, and the systems by 1 dB in each: that is certain."""
    first = {song: 10.0 * number for number, song in enumerate(SONGS)}

    result = compared(contents(first), contents({song: db + 1 for song, db in first.items()}))

    (versus,) = result.versus
    mean = versus.columns["mean"]
    assert mean is not None
    assert mean.mean == pytest.approx(1)
    assert mean.interval == pytest.approx((1, 1))
    assert (mean.better, mean.worse, mean.units, mean.songs) == (8, 0, 8, 8)
    assert mean.p == 2 / 2**8
    assert list(sentences(result, 1)) == [
        "In the mean, B is better than A by 1.000 dB.",
        "By stem, B is better in bass, drums, other and vocals.",
    ]


def test_equal_runs_have_no_difference() -> None:
    scores = contents({song: float(number) for number, song in enumerate(SONGS)})

    result = compared(scores, scores)

    for one in result.versus[0].columns.values():
        assert one is not None
        assert (one.mean, one.interval, one.p, one.p_holm) == (0, (0, 0), 1, 1)
        assert (one.better, one.worse, one.smallest) == (0, 0, 0)
    assert list(sentences(result, 1)) == ["A and B have equal scores in all 8 songs."]
    assert "moved most" not in table.text(result)


def test_silent_stems_count_in_the_official_mean_only() -> None:
    first = contents({"a": 1.0, "b": 2.0}, silent={"a": "vocals"})
    second = contents(
        {"a": dict.fromkeys(MDX, 1.0) | {"vocals": -39.0}, "b": 3.0}, silent={"a": "vocals"}
    )

    result = compared(first, second)

    (versus,) = result.versus
    assert [one.official for one in result.means] == pytest.approx([1.5, 1.5 + 0.5 - 5])
    vocals, mean = versus.columns["vocals"], versus.columns["mean"]
    assert vocals is not None
    assert (vocals.mean, vocals.songs, vocals.interval) == (1, 1, None)
    assert mean is not None
    assert mean.mean == pytest.approx(0.5)
    assert versus.quiet is not None
    assert (versus.quiet.mean, versus.quiet.references, versus.quiet.songs) == (-40, 1, 1)
    assert dict(versus.quiet.stems) == {"vocals": (-40, 1)}
    assert "silent or nearly silent references, 1 in 1 song: -40.000" in table.text(result)


def test_a_stem_that_is_silent_in_all_songs_has_no_difference() -> None:
    silent = {"a": "bass", "b": "bass"}

    result = compared(
        contents({"a": 1.0, "b": 2.0}, silent=silent), contents({"a": 1.0, "b": 3.0}, silent=silent)
    )

    assert result.versus[0].columns["bass"] is None
    assert result.means[0].columns["bass"] is None
    assert json.loads(export.json_text(result))["differences"][0]["columns"]["bass"] is None


def test_artists_count_once() -> None:
    """Three songs of one artist gain 1 dB, the only song of another loses 2."""
    names = ("X - a", "X - b", "X - c", "Y_d")
    first = dict.fromkeys(names, 5.0)
    second = dict.fromkeys(names[:3], 6.0) | {"Y_d": 3.0}

    songs = compared(contents(first), contents(second)).versus[0].columns["mean"]
    result = compared(contents(first), contents(second), per_artist=True)

    artists = result.versus[0].columns["mean"]
    assert songs is not None
    assert artists is not None
    assert (songs.mean, songs.units) == (0.25, 4)
    assert (artists.mean, artists.units, artists.songs, artists.better) == (-0.5, 2, 4, 1)
    assert result.means[1].columns["mean"] == 4.5
    assert "4 songs, 2 artists, each counting once" in table.text(result)


def test_songs_without_an_artist_share_one() -> None:
    result = compared(
        contents({"1.a": 1.0, "2.b": 2.0, "X - c": 3.0}),
        contents({"1.a": 1.0, "2.b": 2.0, "X - c": 3.0}),
        per_artist=True,
    )

    assert result.units == 2


def test_p_values_are_corrected_for_all_stems_of_all_systems() -> None:
    first = dict.fromkeys(SONGS, 1.0)

    two = compared(contents(first), contents(dict.fromkeys(SONGS, 2.0)))
    three = compared(contents(first), *[contents(dict.fromkeys(SONGS, 2.0))] * 2)

    p = 2 / 2**8
    for result, stems, means in ((two, 4, 1), (three, 8, 2)):
        for versus in result.versus:
            for name, one in versus.columns.items():
                assert one is not None
                assert one.p_holm == pytest.approx(p * (means if name == "mean" else stems))


def test_a_lower_score_is_better_if_the_metric_says_so() -> None:
    tables = []
    for score in (3.0, 2.0):
        one = contents(dict.fromkeys(SONGS, 1.0))
        one["metrics"] = {"l1": further(dict.fromkeys(SONGS, score), higher_is_better=False)}
        tables.append(one)

    result = compare(
        pair([read(one, name, metric="l1") for one, name in zip(tables, "AB", strict=True)])
    )

    mean = result.versus[0].columns["mean"]
    assert mean is not None
    assert (mean.mean, mean.better, mean.worse) == (-1, 8, 0)
    assert next(sentences(result, 1)) == "In the mean, B is better than A by 1.000 %."


def further(scores: Mapping[str, float | None], **values: object) -> dict[str, object]:
    """Scores of a further metric."""
    return {
        "id": "one/1",
        "title": "One",
        "definition": "made up",
        "unit": "%",
        "higher_is_better": True,
        "songs": {
            name: {"mean": one, "stems": dict.fromkeys(MDX, one)} for name, one in scores.items()
        },
    } | values


def test_a_score_that_one_system_lacks_counts_for_none() -> None:
    tables = []
    for last in (9.0, None):
        one = contents({"a": 1.0, "b": 1.0})
        one["metrics"] = {"l1": further({"a": 1.0, "b": last})}
        tables.append(one)

    result = compare(
        pair([read(one, name, metric="l1") for one, name in zip(tables, "AB", strict=True)])
    )

    assert [one.columns["mean"] for one in result.means] == [1, 1]
    assert "a system has no score there: 4 references" in table.text(result)
    assert "no `everything`: references are unknown, or One undefined" in table.text(result)


def test_without_any_active_stem_there_is_nothing_to_compare() -> None:
    quiet = contents({"a": 1.0, "b": 2.0}, level_dbfs=-70.0)

    result = compared(quiet, contents({"a": 1.0, "b": 3.0}, level_dbfs=-70.0))

    assert list(result.versus[0].columns.values()) == [None] * 5
    assert "nothing can be compared" in table.text(result)
    assert json.loads(export.json_text(result))["differences"][0]["silent"]["references"] == 8
    assert export.csv_text(result).count("\n") == 6


# Which songs


def test_common_songs_are_compared_and_the_others_named() -> None:
    result = compared(contents({"a": 1.0, "b": 2.0}), contents({"b": 2.0, "c\n": 2.0}))

    assert list(result.paired.songs) == ["b"]
    assert "left out: 2 songs: a (only in A), c\\n (only in B)" in table.text(result)
    assert json.loads(export.json_text(result))["left_out"] == {"a": ["A"], "c\n": ["B"]}
    assert "one song has no interval" in table.text(result)


def test_names_in_another_form_of_unicode_are_the_same() -> None:
    result = compared(contents({"\u00e9": 1.0}), contents({"e\u0301": 1.0}))

    assert len(result.paired.songs) == 1


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (contents({"z": 1.0}), "expected songs that all systems have, found none"),
        (contents({"a": 1.0}, samples=882_000), "441000 samples (10.0 s), the other 882000"),
        (contents({"a": 1.0}, level_dbfs=-20.1), "bass is at -20.00 dBFS in one and at -20.10"),
        (contents({"a": 1.0}, silent={"a": "drums"}), "drums is at -20.00 dBFS in one and silent"),
        (contents({"a": 1.0}) | {"track": "cdx"}, "something else"),
    ],
)
def test_scores_that_cannot_be_compared_are_one_sentence(second: Any, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        compared(contents({"a": 1.0}), second)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rounded_levels_are_of_the_same_references() -> None:
    quiet = contents({"a": 1.0}, level_dbfs=-80.0), contents({"a": 1.0}, level_dbfs=-79.0)

    for first, second in (quiet, (contents({"a": 1.0}), contents({"a": 1.0}, level_dbfs=-20.001))):
        assert len(compared(first, second).paired.songs) == 1


def test_another_rate_is_another_reference() -> None:
    second = contents({"a": 1.0})
    second["songs"][0]["sample_rate_hz"] = 48_000

    with pytest.raises(EvaluationError, match="44100 Hz and 2 channels, the other 48000 Hz and 2"):
        compared(contents({"a": 1.0}), second)


def test_one_system_is_not_enough() -> None:
    with pytest.raises(EvaluationError, match="expected two systems or more"):
        pair([read(contents({"a": 1.0}))])


# Files of scores


def test_metrics_with_another_id_are_not_subtracted() -> None:
    tables = [contents({"a": 1.0}) for _ in range(3)]
    tables[0]["metric"]["id"] = "sdr/1"
    tables[1]["metric"]["id"] = "sdr/2"
    tables[2]["metric"].pop("id", None)

    with pytest.raises(EvaluationError, match="'sdr/1' and 'B' has 'sdr/2'"):
        compared(*tables[:2])
    assert compared(tables[0], tables[2]).units == 1
    tables[2]["metric"]["definition"] = "another"
    with pytest.raises(EvaluationError, match="'B' has 'another'"):
        compared(tables[0], tables[2])


def test_tracks_are_not_mixed() -> None:
    film = contents({"a": 1.0})
    film["track"] = "cdx"
    for song in film["songs"]:
        song["stems_db"] = dict.fromkeys(STEMS["cdx"], 1.0)
        song["reference_levels_dbfs"] = dict.fromkeys(STEMS["cdx"], -20.0)

    with pytest.raises(EvaluationError, match="'A' is of mdx and 'B' of cdx"):
        compared(contents({"a": 1.0}), film)


def test_a_file_with_both_tracks_needs_a_choice() -> None:
    both = {"mdx": contents({"a": 1.0}), "cdx": contents({"a": 1.0})}

    assert read(both, track="mdx").track == "mdx"
    assert read({"mdx": both["mdx"]}).track == "mdx"
    with pytest.raises(EvaluationError, match="found mdx and cdx; choose one"):
        read(both)
    with pytest.raises(EvaluationError, match=r"track 'cdx' in 'A\.json', found mdx"):
        read(both["mdx"], track="cdx")


def test_a_metric_that_was_not_scored_is_named_with_those_that_were() -> None:
    one = contents({"a": 1.0})
    one["metrics"] = {"l1": further({"a": 1.0})}

    with pytest.raises(EvaluationError, match=r"metric 'si_sdr' in 'A\.json', found sdr, l1"):
        read(one, metric="si_sdr")
    assert read(one, metric="l1").metric.unit == "%"


@pytest.mark.parametrize("other", [{}, [], 3, None, {"songs": []}, {"mdx": 1}])
def test_other_contents_are_one_sentence(other: Any) -> None:
    with pytest.raises(EvaluationError, match="expected scores as `demixing evaluate` writes"):
        read(other)


# Output


def test_the_table_fits_and_names_are_escaped() -> None:
    songs = [f"{name * 20}\t{name}" for name in SONGS]
    first = {song: 10.0 * number for number, song in enumerate(songs)}
    second = {song: db - 12 + number for number, (song, db) in enumerate(first.items())}
    third = dict.fromkeys(songs, 1.0) | dict.fromkeys("xyzuvw", 2.0)

    two = table.text(
        compared(
            contents(first, silent={songs[0]: "bass"}), contents(second, silent={songs[0]: "bass"})
        )
    )
    three = table.text(compared(contents(first), contents(second), contents(third)))

    assert max(map(len, two.splitlines())) <= 100
    assert max(map(len, three.splitlines())) <= 100
    assert "\t" not in two
    assert "B - A" in three
    assert "C - A" in three


def test_few_songs_show_nothing_and_are_said_to() -> None:
    result = compared(
        contents(dict.fromkeys(SONGS[:5], 1.0)), contents(dict.fromkeys(SONGS[:5], 2.0))
    )

    printed = table.text(result)

    assert "In the mean, no difference can be shown with these 5 songs: at least 6" in printed
    assert "fewer than 6 songs show no difference, even if their interval leaves out 0" in printed
    assert result.versus[0].columns["mean"].smallest is None  # type: ignore[union-attr]


def test_json_and_csv_have_the_same_figures() -> None:
    first = {song: float(number) for number, song in enumerate(SONGS)}
    second = {song: 1.3 * db - 1 for song, db in first.items()}

    result = compared(contents(first), contents(second))

    found = json.loads(export.json_text(result))
    rows = list(csv.DictReader(io.StringIO(export.csv_text(result), newline="")))
    columns = found["differences"][0]["columns"]
    assert [row["column"] for row in rows] == ["mean", *MDX] == list(columns)
    for row in rows:
        one = columns[row["column"]]
        assert float(row["difference"]) == pytest.approx(one["mean"], abs=1e-6)
        assert [float(row["low"]), float(row["high"])] == pytest.approx(one["interval"], abs=1e-6)
        assert (row["units"], row["system"], row["from"]) == ("8", "B", "A")
    assert [move["song"] for move in found["differences"][0]["songs"]] == list(reversed(SONGS))
    assert found["systems"][0]["mean"] == pytest.approx(3.5)
    assert found["unit"] == "song"
