"""The contest's leaderboards: their data, and where a mean would have stood."""

import dataclasses
import itertools
import json
import math
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from demixing.cli import board_place
from demixing.cli.main import main
from demixing.errors import EvaluationError
from demixing.evaluation import predicted_place
from demixing.evaluation.board_place import placed
from demixing.evaluation.boards import Board, Row, boards, named, read
from demixing.evaluation.songs import STEMS
from demixing.recipes import reading, tracks

ROOT = Path(__file__).parents[1]
ROWS = [(board, row) for board in boards().values() for row in board.rows]


def board(*means_db: float, ranks: list[int]) -> Board:
    rows = tuple(
        Row(team=f"t{rank}", mean_db=mean, certainty="confirmed", source="s", rank=rank)
        for mean, rank in zip(means_db, ranks, strict=True)
    )
    return Board(
        name="b", contest="c", year=2023, track="mdx", letter="C", training="any data", rows=rows
    )


KNOWN = board(9.0, 8.0, 7.0, 5.0, ranks=[1, 2, 3, 5])


# The data


def test_a_wheel_has_the_data() -> None:
    files = WheelBuilder(str(ROOT)).recurse_included_files()

    assert "demixing/evaluation/boards.toml" in {str(one.distribution_path) for one in files}


@pytest.mark.parametrize(
    ("board", "row"), ROWS, ids=[f"{board.name} {row.team}" for board, row in ROWS]
)
def test_the_stems_of_a_row_average_to_its_mean(board: Board, row: Row) -> None:
    if not row.stems_db:
        return
    digits = row.decimals if row.stem_decimals is None else row.stem_decimals
    rounding_db = 0.5 * (10**-digits + 10**-row.decimals) + 1e-9

    error_db = abs(math.fsum(row.stems_db) / len(STEMS[board.track]) - row.mean_db)

    assert (error_db <= rounding_db) == row.averages


def test_the_newest_boards_are_those_of_the_tracks() -> None:
    for track in tracks.TRACKS.values():
        own = [one for one in boards().values() if one.track == track.name]
        newest = max(one.year for one in own)
        letters = tuple(one.letter for one in own if one.year == newest)

        assert letters == track.boards
        assert named(track.boards[-1], track.name).training == "any data"


def test_only_one_row_does_not_average() -> None:
    assert [(board.name, row.team) for board, row in ROWS if not row.averages] == [
        ("cdx23-b", "subatomicseer")
    ]


ROW = 'team = "t", mean_db = 1.0, certainty = "confirmed", source = "s"'
HEAD = 'contest = "c"\nyear = 2023\ntrack = "mdx"\nletter = "A"\ntraining = "any data"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[b", "expected TOML"),
        ("[b]\nyear = 2023\n", "expected the key 'contest'"),
        (f"[b]\n{HEAD}rows = []\nextra = 1\n", "expected keys of contest, year"),
        (f"[b]\n{HEAD.replace('2023', 'true')}rows = []\n", "expected int for 'year'"),
        (f"[b]\n{HEAD.replace('mdx', 'abc')}rows = []\n", "a track of mdx or cdx"),
        (f"[b]\n{HEAD}rows = [1]\n", "expected a table"),
        (f"[b]\n{HEAD}rows = [{{ {ROW} }}]\n", "at least one row with a rank"),
        (f"[b]\n{HEAD}rows = [{{ {ROW.replace('confirmed', 'sure')} }}]\n", "a certainty of"),
        (f"[b]\n{HEAD}rows = [{{ {ROW}, rank = 1, stems_db = [1.0] }}]\n", "4 numbers"),
        (f"[b]\n{HEAD}rows = [{{ {ROW}, rank = 1 }}, {{ {ROW}, rank = 1 }}]\n", "ranks in the"),
    ],
)
def test_wrong_data_are_one_sentence(text: str, words: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        read(text)

    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "track", "found"),
    [
        ("C", "mdx", "mdx23-c"),
        ("c", "mdx", "mdx23-c"),
        ("A", "mdx", "mdx23-a"),
        ("b", "cdx", "cdx23-b"),
        ("MDX21-A", "mdx", "mdx21-a"),
        ("cdx23-b", "cdx", "cdx23-b"),
    ],
)
def test_a_board_has_a_name_and_a_letter(name: str, track: str, found: str) -> None:
    assert named(name, track).name == found


@pytest.mark.parametrize(
    ("name", "track", "words"),
    [
        ("C", "cdx", "is a board of the track 'mdx': expected A, B, or cdx23-a, cdx23-b"),
        ("mdx23-d", "mdx", "did you mean 'mdx23-"),
        ("", "mdx", "is no board"),
    ],
)
def test_a_wrong_board_names_the_choices(name: str, track: str, words: str) -> None:
    with pytest.raises(EvaluationError, match="expected A, B") as raised:
        named(name, track)

    assert words in str(raised.value)


# The place


@pytest.mark.parametrize(
    ("mean_db", "ranks", "text"),
    [
        (9.5, "rank 1", "above rank 1 (t1 9.000)"),
        (8.5, "rank 2", "between rank 1 (t1 9.000) and rank 2 (t2 8.000)"),
        (8.0, "rank 3", "between rank 2 (t2 8.000) and rank 3 (t3 7.000)"),
        (
            6.0,
            "rank 4 or 5",
            "between rank 3 (t3 7.000) and rank 5 (t5 5.000); rank 4 is unknown",
        ),
        (1.0, "rank 6 or lower", "below rank 5 (t5 5.000)"),
    ],
)
def test_a_place_is_as_exact_as_the_known_ranks(mean_db: float, ranks: str, text: str) -> None:
    found = placed(KNOWN, mean_db)

    assert (found.ranks, str(found)) == (ranks, text)


@pytest.mark.parametrize(
    ("mean_db", "ranks"), [(9.5, "rank 2 or 3"), (9.2, "rank 3 or 4"), (8.7, "rank 5 or 6")]
)
def test_two_sources_of_one_rank_make_a_range(mean_db: float, ranks: str) -> None:
    assert placed(named("C", "mdx"), mean_db).ranks == ranks


@pytest.mark.parametrize(
    ("mean_db", "ranks"), [(9.0, "rank 1 or 2"), (8.0, "rank 2 or 3"), (5.0, "rank 4 or lower")]
)
def test_an_entry_without_a_rank_still_counts(mean_db: float, ranks: str) -> None:
    assert placed(named("mdx21-b", "mdx"), mean_db).ranks == ranks


def test_entries_without_a_rank_below_one_with_a_rank_push_a_mean_down() -> None:
    rows = [
        Row(team=team, mean_db=mean_db, rank=rank, certainty="recalled", source="-")
        for team, mean_db, rank in (
            ("a", 9.0, 3),
            ("b", 8.0, None),
            ("c", 7.0, None),
            ("d", 5.0, 8),
        )
    ]
    board = dataclasses.replace(KNOWN, rows=tuple(rows))

    found = {mean_db: placed(board, mean_db).ranks for mean_db in (10.0, 8.5, 7.5, 6.0)}

    # By hand: b and c are 4 to 7, and c is after b.
    assert found == {
        10.0: "ranks 1 to 3",
        8.5: "ranks 4 to 6",
        7.5: "ranks 5 to 7",
        6.0: "ranks 6 to 8",
    }


def test_every_mean_has_a_place_and_a_better_one_is_never_lower() -> None:
    for one in boards().values():
        places = [placed(one, step / 20) for step in range(300, -100, -1)]
        for better, worse in itertools.pairwise(places):
            assert better.first <= worse.first
            assert better.last is None or better.first <= better.last
            assert worse.last is None or (better.last or 0) <= worse.last


def test_no_mean_has_no_place() -> None:
    with pytest.raises(ValueError, match="nan"):
        placed(KNOWN, math.nan)


def test_the_interval_over_songs_is_a_range_of_ranks() -> None:
    found = predicted_place.predicted(KNOWN, [4.0, 6.0, 8.0, 10.0])

    low, high = found.interval_db or (math.nan, math.nan)
    assert 4 <= low < 7 < high <= 10
    assert (found.mean_db, found.place.ranks) == (7.0, "rank 4 or 5")
    assert found.interval_ranks == "rank 1 or lower"
    text = "\n".join(predicted_place.lines(found))
    assert "95 % interval over these 4 songs" in text
    assert "hidden and others" in text
    assert "kimberley_jensen 1st" in text


def test_one_song_has_no_interval_and_says_why() -> None:
    found = predicted_place.predicted(KNOWN, [6.0])

    assert found.interval_ranks is None
    assert predicted_place.ONE_SONG in "\n".join(predicted_place.lines(found))
    assert predicted_place.as_json(found)["interval_db"] is None
    json.dumps(predicted_place.as_json(found), allow_nan=False)


def test_a_mean_that_silence_decides_is_not_the_only_one() -> None:
    found = predicted_place.predicted(KNOWN, [-20.0, 7.5], active_mean_db=7.5)

    text = "\n".join(predicted_place.lines(found))
    assert "rank 3 for 7.500 dB, the mean without silent references" in text
    assert max(map(len, text.splitlines())) <= 100
    assert "too narrow" in text
    assert predicted_place.predicted(KNOWN, [7.0], active_mean_db=7.0).active_mean_db is None


# Commands


def test_scores_are_held_against_a_board(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "scores.json"

    assert main(["score", str(data), str(data), "--board", "c", "--json", str(report)]) == 0

    assert "dB on MDX'23 C (any data):" in capsys.readouterr().out
    found = json.loads(report.read_text())["board"]
    assert (found["name"], found["place"]["first"], found["place"]["last"]) == ("mdx23-c", 1, 1)
    assert len(found["interval_db"]) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--board", "cdx23-a"], "is a board of the track 'cdx'"),
        (["--board", "Z"], "'Z' is no board"),
    ],
)
@pytest.mark.parametrize("command", ["score", "evaluate"])
def test_a_wrong_board_is_refused_before_the_work(
    command: str,
    words: list[str],
    said: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    given = [str(data), str(data)]
    if command == "evaluate":
        given = ["--data", str(data), "--output", str(out), "--recipe", "mdx_silence"]

    assert main([command, *given, *words]) == 2

    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_board_of_one_track_is_refused_for_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--output", str(tmp_path / "out"), "--board", "C"]) == 2

    assert "choose one track with --track" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "name", "words"),
    [
        ("mdx_equal_shares", "C", ""),
        ("mdx_default", "mdx21-b", ""),
        ("mdx_default", "A", "MDX'23 A does not admit recipe 'mdx_default': it admits training on"),
        ("mdx_default", "mdx21-a", "it is not recorded whether MDX'21 A would admit"),
    ],
)
def test_a_recipe_that_a_board_does_not_admit_is_noted(recipe: str, name: str, words: str) -> None:
    found = board_place.admission(named(name, "mdx"), reading.load(recipe))

    assert found.startswith(words)
    assert bool(found) == bool(words)


def test_boards_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--boards"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in boards())
    assert all(row.source in text and row.team in text for _, row in ROWS)

    assert main(["list", "--boards", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["boards"]
    assert [one["name"] for one in found] == list(boards())
