"""How long ``demixing separate`` takes to start, against another checkout.

    python -m benchmarks start --original CHECKOUT

The song has a value that is not a number, so the command stops where its first member would begin:
everything is imported, read and built, and nothing is separated.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.songs import SAMPLE_RATE_HZ
from benchmarks.timing import Line, checkout, compare
from demixing.errors import ConfigError

ROOT = Path(__file__).parents[1]
RECIPES = ("mdx_default", "mdx_silence")
DURATION_S = 10
REFUSED = 2
"""Exit status of a song that cannot be separated."""


def run(*, quick: bool = False, original: Path | None = None) -> Iterator[Line]:
    """Compare the start with and without networks: processor seconds of all threads, and time.

    Args:
        quick: fewer rounds.
        original: a checkout of this project at another commit.

    Raises:
        ConfigError: there is no such checkout, or a command does not end as expected.
    """
    theirs = checkout(original, "a checkout of this project at another commit")
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder, "song.wav")
        soundfile.write(song, refused(), SAMPLE_RATE_HZ, subtype="FLOAT")
        for recipe in RECIPES:
            begin_theirs, begin_ours = started(theirs, song, recipe), started(ROOT, song, recipe)
            begin_theirs(), begin_ours()  # fill the page cache, and compile the modules
            for clock, kind in CLOCKS.items():
                yield compare(
                    f"start of {recipe}, {kind}",
                    begin_theirs,
                    begin_ours,
                    repeats=3 if quick else 9,
                    note=lambda theirs_s, ours_s: f"{theirs_s:.2f} s and {ours_s:.2f} s",
                    clock=clock,
                )


def refused() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """A song that is refused at its first sample, ``(samples, channels)``."""
    song = np.zeros((DURATION_S * SAMPLE_RATE_HZ, 2), dtype=np.float32)
    song[0] = np.nan
    return song


def started(root: Path, song: Path, recipe: str) -> Callable[[], None]:
    """Return a function that runs the command of a checkout on a song that is refused."""
    command = [sys.executable, "-m", "demixing", "separate", str(song), "--recipe", recipe]
    command += ["-o", str(song.parent / "stems"), "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled

    def call() -> None:
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, check=False)
        if done.returncode != REFUSED:
            raise ConfigError(f"expected status {REFUSED} in {root}, got {done.returncode}")

    return call


def spent_s() -> float:
    """Processor seconds of all child processes that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


CLOCKS = {spent_s: "processor", time.perf_counter: "time"}
"""What is compared. Time means nothing while other programs run."""
