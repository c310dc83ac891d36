"""Memory that was freed goes back to the system."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from demixing.machine import heap

ROOT = Path(__file__).parents[1]

PROGRAM = """
import numpy as np
from demixing.machine import heap

heap.keep_large_blocks_apart()
block = np.ones(30_000_000, np.uint8)
del block  # by default, glibc now takes blocks of up to this size from the heap
before = heap.apart_bytes()
block = np.ones(20_000_000, np.uint8)
print(heap.apart_bytes() - before >= 20_000_000)
"""

SWITCH = "sys/kernel/mm/transparent_hugepage/enabled"
"""Linux marks the choice in force with brackets."""


def test_free_memory_is_given_back() -> None:
    blocks = [torch.zeros(1 << 16) for _ in range(400)]  # 100 MB of small blocks
    kept = blocks[::40]
    del blocks

    if heap.tidy(0):  # glibc only
        assert not heap.tidy(1 << 40)
    assert all(block.eq(0).all() for block in kept)


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("always [madvise] never\n", True),
        ("[always] madvise never\n", True),
        ("always madvise [never]\n", False),
        (None, False),
    ],
)
def test_huge_pages_are_requested_where_linux_gives_them(
    tmp_path: Path, text: str | None, *, given: bool
) -> None:
    if text is not None:
        (tmp_path / SWITCH).parent.mkdir(parents=True)
        (tmp_path / SWITCH).write_text(text)

    assert heap.huge_pages(tmp_path) is given


@pytest.mark.parametrize(("given", "huge"), [(None, True), ("1", True), ("0", False)])
def test_without_huge_pages_only_larger_blocks_stay_outside_of_the_heap(
    monkeypatch: pytest.MonkeyPatch, given: str | None, *, huge: bool
) -> None:
    limits: list[int] = []
    library = SimpleNamespace(mallopt=lambda number, value: limits.append(value))
    monkeypatch.setattr(heap, "huge_pages", lambda: True)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    for name in (*heap.THRESHOLDS, heap.HUGE_PAGES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(heap.HUGE_PAGES, given or "1")
    if given is None:
        del os.environ[heap.HUGE_PAGES]

    heap.keep_large_blocks_apart()

    assert limits[0] == (heap.LARGE_BYTES_HUGE if huge else heap.LARGE_BYTES)
    assert os.environ[heap.HUGE_PAGES] == (given or "1")


@pytest.mark.skipif(not heap.apart_bytes(), reason="not glibc, or no block is outside of the heap")
@pytest.mark.parametrize(("variables", "apart"), [({}, True), ({"MALLOC_MMAP_MAX_": "0"}, False)])
def test_large_blocks_are_given_back_at_once(variables: dict[str, str], *, apart: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=environment | variables,
        capture_output=True,
        text=True,
    )

    assert done.stdout.strip() == str(apart), done.stderr
