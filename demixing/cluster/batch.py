"""Runs a batch: songs, what is done with them, and workers, wherever they run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial

from demixing.cluster import publishing, waits, work
from demixing.cluster.catalogue import Item
from demixing.cluster.dispatch import Dispatcher, Engine
from demixing.cluster.on_ray import Resources
from demixing.cluster.waits import Clock
from demixing.cluster.work import FAILED, THERE, Job, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How the work is executed.

    Attributes:
        jobs: processes on this machine, without Ray.
        ray: address of a Ray cluster; None: no Ray.
        resources: what a worker on Ray needs.
        tries: how often a song is tried at most.
        environment: added to that of the workers.
        clock: where time comes from.
    """

    jobs: int = 1
    ray: str | None = None
    resources: Resources = field(default_factory=Resources)
    tries: int = 3
    environment: Mapping[str, str] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)


def run(items: Sequence[Item], job: Job, execution: Execution) -> Iterator[tuple[Item, Outcome]]:
    """Do songs, and yield each when it is finished; failures are recorded.

    Raises:
        DemixError: no worker can do this task, or the destination cannot be written.
    """
    earlier, clock = publishing.failed(job.destination), execution.clock
    with _engine(job, execution, len(items)) as engine:
        dispatcher = Dispatcher(engine, tries=execution.tries, clock=clock)
        for item, outcome in dispatcher.run(items):
            if outcome.status == FAILED:
                failure = work.failure(job, item, outcome.error)
                waits.repeated(partial(publishing.fail, job.destination, failure), clock)
            elif outcome.status == THERE and item.name in earlier:
                waits.repeated(partial(publishing.forgive, job.destination, item.name), clock)
            yield item, outcome


def _engine(job: Job, execution: Execution, songs: int) -> AbstractContextManager[Engine]:
    """Where workers run."""
    if execution.ray is not None:
        return _on_ray(job, execution, execution.ray)
    from demixing.cluster.processes import Processes

    return Processes(job, max(1, min(execution.jobs, songs)), execution.environment)


@contextlib.contextmanager
def _on_ray(job: Job, execution: Execution, address: str) -> Iterator[Engine]:
    """Workers on a Ray cluster."""
    from demixing.cluster import on_ray

    with on_ray.connected(address) as ray:
        yield on_ray.Actors(ray, job, execution.resources, execution.environment)
