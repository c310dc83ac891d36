"""Peak resident memory of the command line for songs of several lengths."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import soundfile

from benchmarks.songs import SAMPLE_RATE_HZ, song
from benchmarks.timing import Line

ROOT = Path(__file__).parents[1]
MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Program that runs a command and prints its peak resident memory."""


LENGTHS = {"mdx_default": (1, 10, 60), "mdx_equal_shares": (1, 10, 60, 180)}
"""Minutes, by recipe. Three hours of a network take hours, too; what could grow with the length of
a song, the pipeline, reading and writing, is the same in a recipe without networks."""

QUICK = (1, 3)


def run(*, quick: bool) -> Iterator[Line]:
    """Measure songs of several lengths, each in a fresh process."""
    for recipe, lengths in LENGTHS.items():
        base_mib = 0.0
        for minutes in QUICK if quick else lengths:
            start_s = time.perf_counter()
            peak_mib = peak_of(minutes, recipe)
            base_mib = base_mib or peak_mib
            ratio = peak_mib / base_mib
            seconds = time.perf_counter() - start_s
            yield (
                Line(
                    what=f"memory: {recipe}, {minutes} minutes over 1",
                    ratio=ratio,
                    low=ratio,
                    high=ratio,
                    note=f"peak {peak_mib:.0f} MiB, {seconds:.0f} s",
                )
            )


def peak_of(minutes: int, recipe: str) -> float:
    """Separate a song of ``minutes`` minutes and return the peak memory in MiB.

    More than an hour is written as one stem: three hours of 24 bits take 3 GB.

    Raises:
        RuntimeError: the command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "song.wav"
        minute = song(60).T.numpy()
        with soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 2) as file:
            for _ in range(minutes):
                file.write(minute)
        command = [sys.executable, "-m", "my_submission", "separate", str(path), "-o", folder]
        command += ["--recipe", recipe, "--bits", "24"]
        command += ["--stems", "vocals"] if minutes > 60 else []
        # A process starts with the peak of the process that forked it. So a small process starts
        # the measured one, instead of this process, which contains networks.
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed with {done.returncode}")
    return int(done.stdout) / 1024  # Linux counts in KiB
