"""A Ray cluster of two nodes on this machine, one of which can be killed at once."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import ROOT, until

START_S = 300
"""Seconds that a node may take on a busy machine."""

STORE_BYTES = 80_000_000
"""Of shared memory for Ray's objects, close to the least that it accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster that runs.

    Attributes:
        address: of its head.
        second: process that started the second node.
        environment: for programs that use the cluster.
    """

    address: str
    second: subprocess.Popen[bytes]
    environment: Mapping[str, str]

    def kill_second(self) -> None:
        """Kill the second node with all of its processes, as a power failure would."""
        for pid in [self.second.pid, *descendants(self.second.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.second.wait()


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Start two nodes with one processor each, and end everything afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # sockets have short names
    address = f"127.0.0.1:{free_port()}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_DISABLE_IMPORT_WARNING": "1",
        # By default workers have niceness 15, and stand still on a busy machine.
        "RAY_worker_niceness": "0",
    }
    head = (
        *("--head", f"--port={address.partition(':')[2]}", f"--temp-dir={folder}"),
        *(f"--ray-client-server-port={free_port()}", f"--dashboard-port={free_port()}"),
        "--include-dashboard=false",
    )
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        for own in (head, (f"--address={address}",)):
            with (folder / f"node{len(nodes)}.log").open("wb") as log:
                nodes.append(start_node(own, environment, log.fileno()))
            until(lambda: b"block forever" in started(folder, len(nodes)), START_S)
        yield Cluster(address=address, second=nodes[1], environment=environment)
    finally:
        end(nodes)
        shutil.rmtree(folder, ignore_errors=True)
    until(lambda: not users_of(folder))


def start_node(
    words: tuple[str, ...], environment: Mapping[str, str], log: int
) -> subprocess.Popen[bytes]:
    """Start a node in the foreground of a new process."""
    program = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start"]
    common = ["--block", "--num-cpus=1", f"--object-store-memory={STORE_BYTES}"]
    quiet = ["--disable-usage-stats", "--include-log-monitor=false"]
    return subprocess.Popen(
        [*program, *common, *quiet, *words], env=environment, stdout=log, stderr=log
    )


def started(folder: Path, count: int) -> bytes:
    """What the last of some nodes has said."""
    return (folder / f"node{count - 1}.log").read_bytes()


def end(nodes: list[subprocess.Popen[bytes]]) -> None:
    """Kill nodes and everything that they started."""
    pids = [pid for node in nodes for pid in (node.pid, *descendants(node.pid))]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for node in nodes:
        node.wait()


def descendants(pid: int) -> list[int]:
    """Ids of the processes below a process."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, children.read_text().split()):
                found += [child, *descendants(child)]
    return found


def open_ports(pid: int) -> list[int]:
    """Ports on which the processes below a process listen to other machines."""
    own = set()
    for one in descendants(pid):
        for path in Path(f"/proc/{one}/fd").glob("*"):
            with contextlib.suppress(OSError):
                own.add(str(path.readlink()))
    assert own, "no processes"
    lines = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    rows = [line.split() for line in lines.splitlines() if " 0A " in line]
    addresses = [row[1].split(":") for row in rows if f"socket:[{row[9]}]" in own]
    return [int(port, 16) for address, port in addresses if not address.endswith("0100007F")]


def users_of(folder: Path) -> list[str]:
    """Command lines of processes that name a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_text().replace("\0", " "))
    return [words for words in found if str(folder) in words]


def free_port() -> int:
    """A port of this machine that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
