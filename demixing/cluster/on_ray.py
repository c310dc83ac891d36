"""Workers on a Ray cluster: actors, which load their weights once.

Ray starts an actor where there is room, and says when it or its machine is gone. Everything else
(how many songs an actor gets, and what is tried again) is decided by
:mod:`demixing.cluster.dispatch`, as for workers on one machine.

Ray's own messages contain pickled Python objects: anyone who can reach its ports can run code on
all of its machines. A cluster belongs into a private network.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import os
import pickle
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from demixing.cluster import ray_actor, tasks
from demixing.cluster.catalogue import Item
from demixing.cluster.dispatch import Event, Finished, Lost, Ready
from demixing.cluster.work import Job, Worker
from demixing.errors import ConfigError, DemixError
from demixing.machine import heap, threads

logger = logging.getLogger(__name__)

LOCAL = "local"
"""Address of a cluster that is started on this machine and ends with the command."""

COUNT_S = 10.0
"""Seconds after which machines are counted again: they come and go."""

CONNECT_S = 20.0
"""Seconds in which the head must answer."""

START_S = 600.0
"""Seconds that the first worker may take, on a cluster that may have to start machines first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a worker needs.

    Attributes:
        cpus: number of processors, which is also its number of threads.
        gpus: number of GPUs; a half lets two workers share one.
        workers: most workers at a time; None: as many as there is room for.
    """

    cpus: int = 1
    gpus: float = 0.0
    workers: int | None = None


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to a cluster, or start one.

    Args:
        address: of its head as HOST:PORT, ``auto`` for the one on this machine, or :data:`LOCAL`.

    Yields:
        The module ``ray``.

    Raises:
        ConfigError: there is no cluster.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray starts: it reports nothing
    _check_reachable(address)
    if address == LOCAL:
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # its default, without a long message
        # Whatever it is named: with 0, on all systems, Ray only listens on 127.0.0.1.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray

    try:
        ray.init(
            address=address,
            include_dashboard=False if address == LOCAL else None,
            namespace=f"demixing-{os.getpid()}",
            log_to_driver=False,
            logging_level=logging.getLogger().getEffectiveLevel(),
        )
    except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise ConfigError(
            f"cannot connect to a Ray cluster at {address!r}: {_one_line(error)}"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise if nothing answers at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"cannot connect to a Ray cluster at {address!r}: {error}") from error


class Actors:
    """An engine of Ray actors; see :class:`demixing.cluster.dispatch.Engine`.

    Args:
        ray: the module, connected.
        job: of the batch.
        resources: what a worker needs.
        environment: added to that of the workers.
    """

    def __init__(
        self, ray: Any, job: Job, resources: Resources, environment: Mapping[str, str]
    ) -> None:
        self._ray = ray
        self._resources = resources
        ray.cloudpickle.register_pickle_by_value(ray_actor)
        make = ray.remote(ray_actor.Actor)
        self._make = make.options(num_cpus=resources.cpus, num_gpus=resources.gpus)
        share = {**threads.environment(resources.cpus), **environment}
        level = logging.getLogger().getEffectiveLevel()
        self._facts = ray_actor.facts()
        self._begin = pickle.dumps(functools.partial(_begun, job, share, level))
        self._numbers = itertools.count()
        self._actors: dict[int, Any] = {}
        self._calls: dict[Any, int] = {}
        self._counted_s = -COUNT_S
        self._wanted = 1
        self._first_by_s: float | None = time.monotonic() + START_S

    def wanted(self) -> int:
        """See :class:`demixing.cluster.dispatch.Engine`."""
        if time.monotonic() >= self._counted_s + COUNT_S:
            first, self._counted_s = self._counted_s < 0, time.monotonic()
            places = self._places()
            if first and not places:
                logger.warning("no machine of the cluster has room for %s yet", self._needs())
            self._wanted = max(1, min(places, self._resources.workers or 1 << 20))
        return self._wanted

    def _needs(self) -> str:
        """What a worker needs, in words."""
        return f"a worker with {self._resources.cpus} CPUs and {self._resources.gpus:g} GPUs"

    def _places(self) -> int:
        """Number of workers that the machines have room for."""
        return sum(
            _places(node.get("Resources", {}), self._resources)
            for node in self._ray.nodes()
            if node.get("Alive")
        )

    def start(self) -> int:
        """See :class:`demixing.cluster.dispatch.Engine`."""
        worker = next(self._numbers)
        self._actors[worker] = self._make.remote(self._facts, self._begin)
        self._calls[self._actors[worker].get_ready.remote()] = worker
        return worker

    def submit(self, worker: int, item: Item) -> None:
        """See :class:`demixing.cluster.dispatch.Engine`."""
        if worker in self._actors:  # otherwise its loss is about to be reported
            self._calls[self._actors[worker].do.remote(item)] = worker

    def wait(self, seconds: float) -> Sequence[Event]:
        """See :class:`demixing.cluster.dispatch.Engine`."""
        calls = list(self._calls)  # oldest first, and ray.wait keeps the order
        done, _ = self._ray.wait(calls, num_returns=1, timeout=seconds)
        if not done and self._first_by_s is not None and time.monotonic() > self._first_by_s:
            raise ConfigError(
                f"no machine of the cluster had room for {self._needs()} within {START_S:.0f} s; "
                "ask for less by --cpus and --gpus"
            )
        return [event for call in done for event in self._event(call)]

    def _event(self, call: Any) -> list[Event]:
        """What a finished call means; nothing for further calls of a lost worker."""
        worker = self._calls.pop(call)
        if worker not in self._actors:
            return []
        try:
            outcome = self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            raise _cause(error) from error
        except self._ray.exceptions.RayError as error:
            self._ray.kill(self._actors.pop(worker))
            self._counted_s = -COUNT_S
            return [Lost(worker, _first_line(error))]
        self._first_by_s = None
        if isinstance(outcome, dict):
            raise ConfigError(refusal(self._facts, outcome))
        return [Ready(worker) if outcome is None else Finished(worker, outcome)]


def _places(machine: Mapping[str, float], worker: Resources) -> int:
    """Number of workers that a machine has room for."""
    by_cpu = machine.get("CPU", 0.0) / worker.cpus
    by_gpu = machine.get("GPU", 0.0) / worker.gpus if worker.gpus else by_cpu
    return int(min(by_cpu, by_gpu))


def _cause(error: Any) -> Exception:
    """What an actor raised: an error of the user, or a fault of this program."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, DemixError) else error


def _one_line(error: Exception) -> str:
    """A message of Ray on one line, such as that about other versions of Ray or Python."""
    return " ".join(str(error).split())[:500] or type(error).__name__


def _first_line(error: Exception) -> str:
    """The first line of a message of Ray, which has many."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def refusal(expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    """One sentence about a machine that has another version; see :func:`ray_actor.facts`."""
    return (
        f"the machine {found['machine']!r} of the Ray cluster has {_versions(found)}, but this one "
        f"has {_versions(expected)}: install the same on both, then run the same command again"
    )


def _versions(facts: Mapping[str, str]) -> str:
    """The versions of a machine in words."""
    if not facts["code"]:
        return "no demixing"
    torch = f"torch {facts['torch']}" if facts["torch"] else "no torch"
    return f"demixing {facts['demixing'] or 'without a version'} (code {facts['code']}) and {torch}"


def _begun(job: Job, environment: Mapping[str, str], level: int) -> Worker:
    """Begin a worker, on its machine.

    Raises:
        DemixError: the recipe or its weights cannot be used there.
    """
    os.environ.update(environment)
    threads.wait_passively()
    heap.keep_large_blocks_apart()
    logging.getLogger().setLevel(level)
    try:
        _check_weights(job)
        worker = Worker(job)
        worker.get_ready()
    except DemixError as error:
        raise type(error)(f"{error} (on the machine {socket.gethostname()!r})") from error
    return worker


def _check_weights(job: Job) -> None:
    """Raise unless this machine has the same files of weights: records would be wrong otherwise."""
    if job.task.recipe is None:
        return
    if tasks.fingerprint(tasks.described(job.task)) != job.fingerprint:
        raise ConfigError(
            f"the files of weights of {job.task.recipe.name!r} are others than where the batch was "
            "started; copy the same to all machines"
        )
