"""A submission for preflight's tests: splits songs into frequency bands, and plants faults.

FAULTS is a JSON object of faults by song: ``stems`` is an expression that turns ``stems``, arrays
by name, into the returned value, ``rate`` is the returned rate, and with ``hangs`` the song never
ends. HOST is requested when the model is built.
"""

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import soundfile

FAULTS = json.loads(os.environ.get("FAULTS", "{}"))
EDGES_HZ = {"bass": (0, 500), "drums": (6000, 30_000), "other": (500, 2000), "vocals": (2000, 6000)}


class Model:
    fault: ClassVar[dict[str, Any]] = {}
    """Of the requested song; the grader may wrap an instance, but not the class."""

    def __init__(self) -> None:
        if host := os.environ.get("HOST"):
            with suppress(OSError):
                socket.create_connection((host, 443), timeout=1)

    def separate_music_file(self, mixture: Any, rate_hz: int) -> tuple[Any, Any]:
        if self.fault.get("hangs"):
            time.sleep(10**6)
        spectrum = np.fft.rfft(mixture, axis=0)
        frequencies = np.fft.rfftfreq(len(mixture), 1 / rate_hz)[:, None]
        stems = {
            stem: np.fft.irfft(
                spectrum * ((frequencies >= low) & (frequencies < high)), len(mixture), axis=0
            ).astype(np.float32)
            for stem, (low, high) in EDGES_HZ.items()
        }
        stems = eval(self.fault.get("stems", "stems"), {"np": np, "stems": stems})
        return stems, dict.fromkeys(stems, self.fault.get("rate", rate_hz))


class AIcrowdWrapper:
    """Like AIcrowd's: checks only the names of the stems."""

    def __init__(self) -> None:
        self.model = Model()

    def separate_music_file(self, song: str) -> bool:
        mixture, rate_hz = soundfile.read(
            Path(os.environ["AICROWD_DATASET_DIR"], song, "mixture.wav")
        )
        Model.fault = FAULTS.get(song, {})
        stems, rates = self.model.separate_music_file(mixture, rate_hz)
        if set(stems) != set(EDGES_HZ):
            raise NameError("All instrument not present")
        folder = Path(os.environ["AICROWD_PUBLIC_SHARED_DIR"], "predictions", song)
        folder.mkdir()
        for stem, audio in stems.items():
            soundfile.write(folder / f"{stem}.wav", audio, rates[stem])
        return True
