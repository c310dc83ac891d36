"""What fuzzing has found stays mended, and a short run finds nothing new; see tests/fuzz."""

import os
import random
from pathlib import Path

import pytest
import torch

from demixing.errors import DemixError
from tests.fuzz import cases, mutation
from tests.fuzz.__main__ import CORPUS, run
from tests.fuzz.targets import targets

KEPT = sorted(path for path in CORPUS.glob("*/*") if path.is_file())
SHORT_S = 20.0
"""Processor time of the run."""


@pytest.mark.process
@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once_is_refused(path: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)

    assert cases.finding(targets()[path.parent.name], path.read_bytes(), tmp_path) is None


@pytest.mark.slow
@pytest.mark.process
def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    end_s = sum(os.times()[:4]) + SHORT_S  # with the children's

    for name, data, found in run(targets(), 20, tmp_path):
        assert found is None, f"{name}: {found}\n{data[:2000]!r}"
        if sum(os.times()[:4]) > end_s:
            break


@pytest.mark.process
@pytest.mark.parametrize("name", targets())
def test_good_files_are_read(name: str, tmp_path: Path) -> None:
    target = targets()[name]
    path = tmp_path / f"good{target.suffix}"
    path.write_bytes(target.seeds()[0])

    target.read(path)


def test_damage_follows_from_a_seed() -> None:
    first, again = (
        [mutation.damaged(b"abc" * 99, [b"xyz" * 99], random.Random(seed)) for seed in range(50)]
        for _ in range(2)
    )

    assert first == again
    assert len(set(first)) > 40


def hang(_: Path) -> None:
    while True:
        pass


def grow(_: Path) -> None:
    bytearray(3 << 30)


def crash(_: Path) -> None:
    os.abort()


def fail(_: Path) -> None:
    raise KeyError("x")


def refuse(_: Path) -> None:
    raise DemixError("no")


@pytest.mark.process
@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (hang, "a hang"),
        (grow, "MemoryError at test_fuzz.py:grow"),
        (crash, "a crash by SIGABRT"),
        (fail, "KeyError at test_fuzz.py:fail"),
        (refuse, None),
    ],
)
def test_each_kind_of_fault_is_found(
    read: "cases.Target", kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "MOST_S", 1)

    found = cases.finding(cases.Target(lambda: [b""], read), b"abc", tmp_path)  # type: ignore[arg-type]

    assert (found.kind if found else None) == kind
