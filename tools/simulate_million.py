"""What a batch costs besides the networks: the model of docs/million-songs.md, and a simulation.

    python tools/simulate_million.py [--songs 1000] [--list 100000] [--ray]

Writes songs of a second, measures each step on a hundred of them, and predicts the whole from the
steps. Then it runs the whole by the real commands: in shards, and on a Ray cluster of this machine
with ``--ray``. Prints both, in milliseconds of processor time a song. The recipe has no networks,
so what is measured is what a batch adds. Also reads a list of many songs, and the manifest, and
prints the memory that a song needs at the peak.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demixing.cli.songs import AUDIO
from demixing.cluster import catalogue, manifest, names, publishing, records
from demixing.cluster.catalogue import Item
from demixing.cluster.dispatch import Dispatcher, Event, Finished, Ready
from demixing.cluster.work import DONE, Outcome
from demixing.engine.demixer import Demixer
from demixing.engine.separate_file import Order, separate_file
from demixing.machine import threads
from demixing.recipes import reading

RECIPE = "mdx_equal_shares"
RATE_HZ = 44_100
SHARDS = 4
ON_RAY = ("--ray", "local", "--workers", "1")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Simulate a large batch with short songs.")
    parser.add_argument("--songs", type=int, default=1000, metavar="N", help="number of songs")
    parser.add_argument("--list", type=int, default=100_000, metavar="N", help="songs of a list")
    parser.add_argument("--ray", action="store_true", help="also on a Ray cluster of this machine")
    options = parser.parse_args(arguments)
    os.environ.update(threads.environment(1))
    threads.use()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_songs(folder / "songs", options.songs)
        steps = measured_steps(folder)
        start_s = start_of_worker(folder)
        print(f"steps, ms of processor time a song; {options.songs} songs of 1 s, {RECIPE}")
        for step, each_s in steps.items():
            print(f"  {step:<12}{1000 * each_s:8.2f}")
        print(f"  start of a command and its worker: {start_s:.2f} s")
        each_s = sum(steps.values()) + (SHARDS - 1) * steps["list"]
        report("shards", options.songs, predicted(options.songs, each_s, start_s, SHARDS), folder)
        report_lists(folder, options.list, options.songs)
        if options.ray:
            start_s = start_of_worker(folder, *ON_RAY)
            print(f"  start of a command, its worker and Ray: {start_s:.2f} s")
            each_s = sum(steps.values())
            report("ray", options.songs, predicted(options.songs, each_s, start_s, 1), folder)
    return 0


def predicted(songs: int, each_s: float, start_s: float, workers: int) -> float:
    """The model: processor time of a batch in seconds."""
    return songs * each_s + workers * start_s


def report(how: str, songs: int, model_s: float, folder: Path) -> None:
    """Run the whole in one way, and print it beside the model."""
    run = {"shards": run_shards, "ray": run_ray}[how]
    spent_s, wall_s = run(folder, folder / how)
    done = len(manifest.read(str(folder / how)).done)
    print(
        f"{how}: {done} songs done; model {1000 * model_s / songs:.1f} ms a song, measured "
        f"{1000 * spent_s / songs:.1f} (ratio {spent_s / model_s:.2f}); {wall_s:.0f} s by the clock"
    )


def report_lists(folder: Path, listed: int, done: int) -> None:
    """Print what a list of songs and a manifest cost."""
    path = folder / "list.txt"
    path.write_text(
        "".join(f"s3://music/in/album {n // 100}/song {n}.flac\n" for n in range(listed))
    )
    each_s = spent(lambda: check_list(str(path))) / listed
    peak = peak_bytes(lambda: check_list(str(path))) / listed
    print(f"list of {listed} songs: {1e6 * each_s:.0f} us and {peak:.0f} bytes a song at the peak")
    out = str(folder / "shards")
    peak = peak_bytes(lambda: manifest.write(out)) / done
    size = Path(out, names.MANIFEST).stat().st_size / done
    print(f"manifest: {size:.0f} bytes a song, {peak:.0f} bytes of memory at the peak")


def check_list(path: str) -> None:
    """Read a list, and check the names."""
    songs = catalogue.songs(path, AUDIO)
    names.check_places([one.name for one in songs], ["vocals.wav"])


def peak_bytes(call: Callable[[], object]) -> int:
    """Most memory of Python's objects during a call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def write_songs(folder: Path, count: int) -> None:
    """Write songs of a second of noise, a hundred in each folder."""
    rng = np.random.default_rng(22)
    for number in range(count):
        path = folder / f"album {number // 100}" / f"song {number}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal((RATE_HZ, 2)), RATE_HZ)


def measured_steps(folder: Path) -> dict[str, float]:
    """Processor time of each step in seconds a song, measured on a hundred songs."""
    listed = str(folder / "songs")
    items = catalogue.songs(listed, AUDIO)
    some = items[:: max(len(items) // 100, 1)]
    out = str(folder / "steps")
    made = Steps(folder, out)
    made.separate(items[0])  # imports, and the first use of everything
    return {
        "list": spent(lambda: catalogue.songs(listed, AUDIO)) / len(items),
        "look up": each(some, lambda one: publishing.done(out, one.name)),
        "separate": each(some, made.separate),
        "hash": each(some, made.describe),
        "publish": each(some, made.publish),
        "dispatch": spent(lambda: list(Dispatcher(Nowhere()).run(items))) / len(items),
        "manifest": spent(lambda: manifest.write(out)) / len(some),
    }


class Steps:
    """The steps of a song, one by one.

    Args:
        folder: for files between two steps.
        out: address of the results.
    """

    def __init__(self, folder: Path, out: str) -> None:
        self._folder, self._out = folder / "staged", out
        self._demixer = Demixer(reading.load(RECIPE))
        self._records: dict[str, records.Record] = {}

    def separate(self, item: Item) -> None:
        """Read a song, separate it, write its stems."""
        place = self._folder / item.name
        place.mkdir(parents=True, exist_ok=True)
        stems = self._demixer.recipe.outputs
        paths = {stem: place / f"{stem}.flac" for stem in stems}
        separate_file(self._demixer, Order(song=Path(item.address), paths=paths, bits="16"))

    def describe(self, item: Item) -> None:
        """Make the record of a song."""
        source = records.facts(Path(item.address))
        self._records[item.name] = records.Record(
            name=item.name,
            source=item.address,
            source_bytes=source.bytes,
            source_sha256=source.sha256,
            task="t" * 64,
            version="0",
            files={one.name: records.facts(one) for one in (self._folder / item.name).iterdir()},
        )

    def publish(self, item: Item) -> None:
        """Make the results of a song appear."""
        with publishing.stage(self._out):
            publishing.publish(self._out, self._records[item.name], self._folder / item.name)


class Nowhere:
    """An engine whose workers do nothing: only dispatching remains."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def wanted(self) -> int:
        """See :class:`demixing.cluster.dispatch.Engine`."""
        return 1

    def start(self) -> int:
        """See :class:`demixing.cluster.dispatch.Engine`."""
        self._events.append(Ready(0))
        return 0

    def submit(self, worker: int, item: Item) -> None:
        """See :class:`demixing.cluster.dispatch.Engine`."""
        self._events.append(Finished(0, Outcome(status=DONE)))

    def wait(self, seconds: float) -> Sequence[Event]:
        """See :class:`demixing.cluster.dispatch.Engine`."""
        found, self._events = self._events, []
        return found


def start_of_worker(folder: Path, *more: str) -> float:
    """Processor time in seconds of a command that mostly starts: it has one song."""
    some = next((folder / "songs").rglob("*.flac"))
    (folder / "one.txt").write_text(f"{some}\tone\n")
    out = folder / "-".join(("start", *more))
    return command(["separate", str(folder / "one.txt"), "-o", str(out), *more])[0]


def run_shards(folder: Path, out: Path) -> tuple[float, float]:
    """Do all songs in shards, one after the other; processor and wall time in seconds."""
    times = [
        command(["separate", str(folder / "songs"), "-o", str(out), "--shard", f"{index}/{SHARDS}"])
        for index in range(SHARDS)
    ]
    started_s, wall_s = time.process_time(), time.monotonic()
    manifest.write(str(out))
    own_s, wall_s = time.process_time() - started_s, time.monotonic() - wall_s
    return sum(spent_s for spent_s, _ in times) + own_s, sum(one for _, one in times) + wall_s


def run_ray(folder: Path, out: Path) -> tuple[float, float]:
    """Do all songs on Ray; processor time of its actors and of the command, and wall time."""
    return command(["separate", str(folder / "songs"), "-o", str(out), *ON_RAY])


def command(words: Sequence[str]) -> tuple[float, float]:
    """Run ``demixing batch``; processor time of all its processes, and wall time, in seconds."""
    more = ["--recipe", RECIPE, "--format", "flac", "--bits", "16", "--quiet"]
    started_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "demixing", "batch", *words, *more],
        stdout=subprocess.DEVNULL,
        cwd=Path(__file__).resolve().parents[1],
    )
    spent = Watched(process.pid)
    if process.wait() != 0:
        raise SystemExit(f"the command failed: {words}")
    return spent.total_s(), time.monotonic() - started_s


class Watched:
    """Sums up the processor time of a process and of all below it, while they live.

    Ray's processes are not waited for by the command, so the system does not add them up.
    """

    PERIOD_S = 0.1

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._times_s: dict[int, float] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def total_s(self) -> float:
        """Processor time until now."""
        self._end.set()
        self._thread.join()
        return sum(self._times_s.values())

    def _watch(self) -> None:
        """Read the times periodically."""
        while not self._end.wait(self.PERIOD_S):
            for pid in tree(self._pid):
                with contextlib.suppress(OSError, IndexError, ValueError):
                    self._times_s[pid] = process_s(pid)


def tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in path.read_text().split():
                yield from tree(int(child))


def process_s(pid: int) -> float:
    """Processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spent(call: Callable[[], object]) -> float:
    """Processor time of a call in seconds."""
    started_s = time.process_time()
    call()
    return time.process_time() - started_s


def each(items: Sequence[Item], call: Callable[[Item], object]) -> float:
    """Processor time of a call in seconds, mean over songs."""
    return spent(lambda: [call(one) for one in items]) / len(items)


if __name__ == "__main__":
    sys.exit(main())
