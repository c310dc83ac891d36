"""Files in other people's folders that are pipes, devices, endless, or take long to match."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from demixing import small_files
from demixing.errors import EvaluationError
from demixing.evaluation import ledger
from demixing.evaluation.songs import find_songs
from evaluator.grading import command
from evaluator.grading.dockerignore import Ignored

BAD: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
    "a loop": lambda path: path.symlink_to(path.name),
    "bytes": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "endless": lambda path: path.write_bytes(b"x" * 2**21),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_dockerignore_is_one_sentence(kind: str, tmp_path: Path) -> None:
    BAD[kind](tmp_path / ".dockerignore")

    with pytest.raises(EvaluationError, match="expected patterns"):
        Ignored.of(tmp_path)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_aicrowd_json_names_no_challenge(kind: str, tmp_path: Path) -> None:
    BAD[kind](tmp_path / "aicrowd.json")

    assert command._challenge(tmp_path) == ""


def test_a_deep_aicrowd_json_names_no_challenge(tmp_path: Path) -> None:
    (tmp_path / "aicrowd.json").write_text("[" * 100_000)

    assert command._challenge(tmp_path) == ""


@pytest.mark.parametrize("line", ["*a" * 40 + "b", "**a" * 25 + "!", "**/a" * 30 + "/b"])
def test_a_pattern_takes_no_exponential_time(line: str) -> None:
    began_s = time.process_time()

    assert Ignored((line,)).by("a" * 200) == ""

    assert time.process_time() - began_s < 5


def test_a_range_that_ends_before_it_begins_is_one_sentence() -> None:
    with pytest.raises(EvaluationError, match="bad character range"):
        Ignored(("[z-a]",)).by("a")


def test_a_pipe_named_like_a_song_is_no_song(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "one.stem.mp4")

    with pytest.raises(EvaluationError, match="found none"):
        find_songs(tmp_path, "mdx")


def test_text_has_a_mark_and_any_line_ends(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes("\ufeff{}\r\na\rb".encode())

    assert small_files.read_text(tmp_path / "file") == "{}\na\nb"
    assert json.loads(small_files.read_bytes(tmp_path / "file", 100)[3:5]) == {}
    with pytest.raises(OSError, match="more than 3 bytes"):
        small_files.read_bytes(tmp_path / "file", 3)


def test_a_deep_line_of_a_ledger_is_no_entry(tmp_path: Path) -> None:
    (tmp_path / ledger.FILE).write_text("[" * 100_000 + "\n")

    assert ledger.entries(tmp_path) == []
