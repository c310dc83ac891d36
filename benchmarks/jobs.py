"""Many songs: one and two at a time, and reading and writing beside the computing or in turns."""

import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import soundfile

from benchmarks.songs import SAMPLE_RATE_HZ, song
from benchmarks.timing import Line, compare
from demixing.audio.files import read_blocks, song_format, whole_files, write_stems
from demixing.cli import bar
from demixing.engine import asked
from demixing.engine.demixer import Demixer
from demixing.engine.normalisation import measured
from demixing.engine.separate_file import Order, separate_files
from demixing.recipes import reading

RECIPE = "mdx_default"
ROOT = Path(__file__).parents[1]
SONGS = 6
SECONDS = 25
QUICK_SECONDS = 6
SAMPLE_S = 0.1
"""Time between two looks at the memory."""


def run(*, quick: bool) -> Iterator[Line]:
    """Measure the command with one and two jobs, and one process with and without threads."""
    repeats = 1 if quick else 3
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        songs = written(folder / "songs", QUICK_SECONDS if quick else SECONDS)
        one, two = Command(folder, 1), Command(folder, 2)
        yield compare(
            f"jobs: {len(songs)} songs, 1 at a time over 2",
            one.run,
            two.run,
            repeats=repeats,
            note=lambda one_s, two_s: (
                f"{one_s:.1f} s and {two_s:.1f} s, of processors {one.cpu_s:.1f} s and "
                f"{two.cpu_s:.1f} s, peak {one.peak_mib:.0f} MiB and {two.peak_mib:.0f} MiB"
            ),
        )
        demixer = Demixer(asked.prepared(reading.load(RECIPE), None))
        for kind in ("wav", "flac", "mp3"):
            orders = [order(demixer, path, folder / "out", kind) for path in songs[:3]]
            yield compare(
                f"jobs: {len(orders)} songs to {kind}, in turns over beside",
                lambda orders=orders: in_turns(demixer, orders),  # type: ignore[misc]
                lambda orders=orders: beside(demixer, orders),  # type: ignore[misc]
                repeats=repeats,
                note=lambda turns_s, beside_s: f"{turns_s:.1f} s and {beside_s:.1f} s",
            )


def written(folder: Path, seconds: int) -> list[Path]:
    """Write songs, the last one twice as long as the first."""
    folder.mkdir()
    paths = [folder / f"{number}.flac" for number in range(SONGS)]
    for number, path in enumerate(paths):
        audio = song(seconds * (1 + number / (SONGS - 1))).T.numpy()
        soundfile.write(path, audio, SAMPLE_RATE_HZ, "PCM_16")
    return paths


class Command:
    """The command, with a number of jobs.

    Args:
        folder: contains the songs, and gets their stems.
        jobs: songs at a time.

    Attributes:
        cpu_s: processor seconds of the last run, of all its processes.
        peak_mib: largest memory of the last run; pages that processes share count once.
    """

    def __init__(self, folder: Path, jobs: int) -> None:
        program = [sys.executable, "-m", "demixing", "separate", str(folder / "songs")]
        out = str(folder / "out")
        options = ["--recipe", RECIPE, "--quiet", "--overwrite", "--jobs", str(jobs)]
        self._words = [*program, "-o", out, *options]
        self.cpu_s = self.peak_mib = 0.0

    def run(self) -> None:
        """Run it.

        Raises:
            RuntimeError: it failed.
        """
        before_s = children_s()
        self.peak_mib = 0.0
        with subprocess.Popen(self._words, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            watch = threading.Thread(target=self._watch, args=(process,))
            watch.start()
            status = process.wait()
            watch.join()
        self.cpu_s = children_s() - before_s
        if status:
            raise RuntimeError(f"{' '.join(self._words)} failed with {status}")

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        """Measure the memory until a process ends."""
        while process.poll() is None:
            self.peak_mib = max(self.peak_mib, sum(map(memory_mib, family(process.pid))))
            time.sleep(SAMPLE_S)


def children_s() -> float:
    """Processor seconds of all processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def family(process: int) -> list[int]:
    """Ids of a process and all processes below it."""
    try:
        lists = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:
        return [process]
    children = [int(word) for words in lists for word in words.split()]
    return [process, *(one for child in children for one in family(child))]


def memory_mib(process: int) -> float:
    """Proportional set size of a process; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def order(demixer: Demixer, path: Path, out: Path, kind: str) -> Order:
    """One song to files of a format."""
    paths = {stem: out / path.stem / f"{stem}.{kind}" for stem in demixer.recipe.outputs}
    return Order(song=path, paths=paths, bits="24" if kind == "flac" else "32f")


def in_turns(demixer: Demixer, orders: list[Order]) -> None:
    """Separate songs with one thread for reading, computing and writing."""
    for one in orders:
        form = song_format(one.song)
        rate_hz = form.sample_rate_hz
        statistics = None
        if demixer.normalises:
            statistics = measured(demixer.recipe, read_blocks(one.song), rate_hz)
        with whole_files(list(one.paths.values())) as stage:
            stems = demixer.stream(
                read_blocks(one.song), rate_hz, samples=form.frames, statistics=statistics
            )
            staged = dict(zip(one.paths, stage, strict=True))
            for _ in write_stems(stems, staged, form, bits=one.bits):
                pass


def beside(demixer: Demixer, orders: list[Order]) -> None:
    """Separate songs as the command does."""
    for error in separate_files(demixer, orders, lambda one: bar(one.song.name, quiet=True)):
        if error is not None:
            raise error
