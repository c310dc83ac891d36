"""Workers of batches as processes of this machine."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from demixing.cluster.catalogue import Item
from demixing.cluster.dispatch import Dispatcher
from demixing.cluster.processes import Processes
from demixing.cluster.tasks import Task
from demixing.cluster.work import Job
from demixing.recipes import reading

pytestmark = pytest.mark.process


def test_processes_do_songs_and_survive_one_that_kills_them(
    write_song: Callable[..., Path], out: Path
) -> None:
    recipe = reading.load("mdx_equal_shares")
    job = Job(
        task=Task(kind="separate", recipe=recipe),
        fingerprint="t",
        destination=str(out),
        version="1",
        most_bytes=1,
    )
    items = [
        Item(name="a", address=str(write_song("0.wav"))),
        Item(name="deadly", address=Deadly()),  # type: ignore[arg-type]
        Item(name="b", address=str(write_song("1.wav"))),
    ]

    with Processes(job, 1, {}) as engine:
        found = {item.name: outcome for item, outcome in Dispatcher(engine, tries=2).run(items)}

    assert {name: one.status for name, one in found.items()} == {
        "a": "done",
        "b": "done",
        "deadly": "failed",
    }
    assert "its worker was lost 2 times" in found["deadly"].error


class Deadly:
    """Ends the process that receives it."""

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return os._exit, (9,)
