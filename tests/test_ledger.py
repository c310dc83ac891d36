"""The ledger of evaluations: lines are added whole, and damage never hides the others."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from demixing.errors import EvaluationError
from demixing.evaluation import ledger
from tests.waiting import until

ROOT = Path(__file__).parents[1]


def scores(*songs: str, samples: int = 1000, level: float | None = -20.0) -> dict[str, Any]:
    return {
        "track": "mdx",
        "mean_db": 1.0,
        "stems_db": {"bass": 1.0},
        "songs": [
            {
                "name": name,
                "mean_db": 1.0,
                "samples": samples,
                "sample_rate_hz": 44_100,
                "channels": 2,
                "reference_levels_dbfs": {"bass": level, "drums": -30.0},
            }
            for name in songs
        ],
    }


def entry(name: str = "r", **changes: Any) -> ledger.Entry:
    fields: dict[str, Any] = {
        "time": "2026-01-31T12:00:00Z",
        "track": "mdx",
        "recipe": {"name": name, "sha256": "0"},
        "data": {"path": "d", "count": 1, "digest": "x"},
        "scores": scores("a"),
    }
    return ledger.Entry(**fields | changes)


def test_entries_are_numbered_and_come_back_as_they_were(tmp_path: Path) -> None:
    folder = tmp_path / "out"

    added = [ledger.append(folder, entry(name)) for name in ("first", "second\n\udcff")]

    assert [one.number for one in added] == [1, 2]
    assert ledger.entries(folder) == added
    assert (folder / ledger.FILE).read_bytes().count(b"\n") == 2


def test_the_number_follows_the_last_entry_however_long_it_is(tmp_path: Path) -> None:
    ledger.append(tmp_path, entry("x" * 3 * ledger.BLOCK_BYTES))

    assert ledger.append(tmp_path, entry()).number == 2


def test_a_line_that_was_edited_by_hand_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = ledger.append(tmp_path, entry())
    with (tmp_path / ledger.FILE).open("a") as file:
        file.write('not JSON\n[]\n{"number": 7}\n"text"\n')

    second = ledger.append(tmp_path, entry())

    assert second.number == 2
    assert ledger.entries(tmp_path) == [first, second]
    assert "line 2 of" in caplog.text


@pytest.mark.parametrize(
    "changes",
    [{"time": 5}, {"scores": {}}, {"scores": {"mean_db": "7", "stems_db": {}}}, {"seconds": None}],
)
def test_an_entry_with_values_of_wrong_types_is_left_out(
    tmp_path: Path, changes: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    ledger.append(tmp_path, entry())
    path = tmp_path / ledger.FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes) + "\n")

    assert ledger.entries(tmp_path) == []
    assert "line 1 of" in caplog.text


def test_keys_of_a_newer_version_are_ignored(tmp_path: Path) -> None:
    added = ledger.append(tmp_path, entry())
    path = tmp_path / ledger.FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"newer": 1}) + "\n")

    assert ledger.entries(tmp_path) == [added]


@pytest.mark.parametrize("kept", [1, 100, -1])
def test_a_torn_line_is_kept_aside(
    tmp_path: Path, kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    first = ledger.append(tmp_path, entry("first"))
    path = tmp_path / ledger.FILE
    torn = path.read_bytes()[:kept]
    with path.open("ab") as file:
        file.write(torn)
    assert ledger.entries(tmp_path) == [first]

    second = ledger.append(tmp_path, entry("second"))

    assert second.number == 2
    assert ledger.entries(tmp_path) == [first, second]
    assert (tmp_path / ledger.TORN).read_bytes() == torn + b"\n"
    assert ledger.TORN in caplog.text


@pytest.mark.process
def test_a_writer_that_is_killed_half_way_harms_no_other(tmp_path: Path) -> None:
    first = ledger.append(tmp_path, entry("first"))
    program = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from demixing.evaluation import ledger\n"
        "from tests.test_ledger import entry\n"
        "real = ledger._last_number\n"
        "def half(file):\n"  # holds the lock, writes half a line, and never ends
        "    number = real(file)\n"
        '    os.write(file.fileno(), b\'{"number": 2, "time"\')\n'
        "    Path(sys.argv[1], 'held').touch()\n"
        "    time.sleep(600)\n"
        "    return number\n"
        "ledger._last_number = half\n"
        "ledger.append(Path(sys.argv[1]), entry())\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT)
    try:
        until((tmp_path / "held").exists)
        assert ledger.entries(tmp_path) == [first]
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()

    second = ledger.append(tmp_path, entry("second"))

    assert ledger.entries(tmp_path) == [first, second]
    assert (tmp_path / ledger.TORN).read_bytes().startswith(b'{"number": 2')


@pytest.mark.process
def test_two_processes_add_a_hundred_entries_each(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from demixing.evaluation import ledger\n"
        "from tests.test_ledger import entry\n"
        "for at in range(100):\n"
        "    ledger.append(Path(sys.argv[1]), entry(sys.argv[2] * 5000))\n"
    )

    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name], cwd=ROOT)
        for name in "ab"
    ]

    assert [writer.wait() for writer in writers] == [0, 0]
    found = ledger.entries(tmp_path)
    assert [one.number for one in found] == list(range(1, 201))
    names = [one.recipe["name"] for one in found]
    assert (names.count("a" * 5000), names.count("b" * 5000)) == (100, 100)
    assert not (tmp_path / ledger.TORN).exists()


def test_no_ledger_says_how_to_begin_one(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="demixing evaluate --output"):
        ledger.entries(tmp_path)


def test_a_ledger_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ledger.FILE).mkdir()

    with pytest.raises(EvaluationError, match="cannot write the history"):
        ledger.append(tmp_path, entry())
    with pytest.raises(EvaluationError, match="cannot read the history"):
        ledger.entries(tmp_path)


def test_the_digest_tells_whether_songs_are_the_same() -> None:
    same = ledger.digest(scores("a", "b\u00e9"))

    assert ledger.digest(scores("be\u0301", "a")) == same
    others = [
        scores("a"),
        scores("a", "c"),
        scores("a", "b\u00e9", samples=999),
        scores("a", "b\u00e9", level=-20.1),
        scores("a", "b\u00e9", level=None),
        scores("a", "b\u00e9") | {"track": "cdx"},
    ]
    assert len({same, *map(ledger.digest, others)}) == len(others) + 1


def test_the_digest_ignores_scores_and_rounding() -> None:
    before, after = scores("a"), scores("a", level=-20.0 + 1e-9)
    after["mean_db"] = after["songs"][0]["mean_db"] = 5.0

    assert ledger.digest(before) == ledger.digest(after)
