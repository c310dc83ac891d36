"""Workers of batches as processes of this machine."""

import concurrent.futures
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demixing.cluster.catalogue import Item
from demixing.cluster.dispatch import Dispatcher, Finished, Lost
from demixing.cluster.processes import ENDED, Processes
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


@contextlib.contextmanager
def ready(folder: Path) -> Iterator[tuple[Processes, int, concurrent.futures.Executor]]:
    """One worker that is ready, and its pool."""
    job = Job(
        task=Task(kind="score"),
        fingerprint="t",
        destination=str(folder),
        version="1",
        most_bytes=1,
    )
    with Processes(job, 1, {}) as engine:
        worker = engine.start()
        (pool,) = engine._pools.values()
        while not engine.wait(1):
            pass
        yield engine, worker, pool


def test_two_songs_for_a_worker_that_has_ended_are_one_loss(tmp_path: Path) -> None:
    with ready(tmp_path) as (engine, worker, pool):
        with pytest.raises(concurrent.futures.BrokenExecutor):
            pool.submit(os._exit, 9).result()
        for name in "ab":
            engine.submit(worker, Item(name=name, address=name))

        assert engine.wait(0) == [Lost(worker, ENDED)]
        assert engine.wait(0) == []


def test_a_song_that_a_worker_finished_before_it_ended_comes_before_its_loss(
    tmp_path: Path,
) -> None:
    with ready(tmp_path) as (engine, worker, pool):
        engine.submit(worker, Item(name="a", address=str(tmp_path / "a")))
        with pytest.raises(concurrent.futures.BrokenExecutor):
            pool.submit(os._exit, 9).result()
        engine.submit(worker, Item(name="b", address="b"))

        finished, lost = engine.wait(0)

    assert isinstance(finished, Finished)
    assert lost == Lost(worker, ENDED)


class Deadly:
    """Ends the process that receives it."""

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return os._exit, (9,)
