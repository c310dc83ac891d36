"""A submission for the grader's tests: equal shares of the mixture, and the faults in FAULTS.

It needs only the standard library, so that a grade takes a second. FAULTS is a JSON object of
Python code by song, which runs after the song's stems were written; "" runs in the constructor.
"""

import array
import json
import os
import wave
from pathlib import Path

STEMS = ("bass", "drums", "other", "vocals")
FAULTS = json.loads(os.environ.get("FAULTS", "{}"))


def folder(song: str) -> Path:
    return Path(os.environ["AICROWD_PUBLIC_SHARED_DIR"], "predictions", song)


def fault(song: str = "") -> None:
    exec(FAULTS.get(song, ""), {"song": song, "folder": folder(song)})


class AIcrowdWrapper:
    def __init__(self) -> None:
        fault()

    def separate_music_file(self, song: str) -> None:
        path = Path(os.environ["AICROWD_DATASET_DIR"], song, "mixture.wav")
        with wave.open(str(path)) as mixture:
            samples = array.array("h", mixture.readframes(mixture.getnframes()))
            share = array.array("h", (sample // 4 for sample in samples)).tobytes()
            folder(song).mkdir()
            for stem in STEMS:
                with wave.open(str(folder(song) / f"{stem}.wav"), "wb") as file:
                    file.setparams(mixture.getparams())
                    file.writeframes(share)
        fault(song)
