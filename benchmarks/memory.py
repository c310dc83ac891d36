"""Peak resident memory of the command line against the length of the song."""

import os
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


def run(*, quick: bool) -> Iterator[Line]:
    """Measure 1, 10 and 60 minutes with the default recipe of MDX, each in a fresh process."""
    base_mib = 0.0
    for minutes in (1, 3) if quick else (1, 10, 60):
        start_s = time.perf_counter()
        peak_mib = peak_of(minutes)
        base_mib = base_mib or peak_mib
        ratio = peak_mib / base_mib
        seconds = time.perf_counter() - start_s
        yield (
            Line(
                what=f"memory: {minutes} minutes over 1",
                ratio=ratio,
                low=ratio,
                high=ratio,
                note=f"peak {peak_mib:.0f} MiB, {seconds:.0f} s",
            )
        )


def peak_of(minutes: int) -> float:
    """Separate a song of that length and return the peak memory in MiB.

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
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed with {process.returncode}")
    return usage.ru_maxrss / 1024  # Linux counts in KiB
