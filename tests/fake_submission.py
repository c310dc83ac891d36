"""A submission for the grader's tests: equal shares of the mixture, and whatever FAULT says.

It needs nothing but the standard library, so that a grade takes a second. FAULT is Python, run
after a song was written (``AFTER``), before (``BEFORE``), or while it is built (``LOADING``); SONG
limits it to one song.
"""

import array
import os
import wave
from pathlib import Path

STEMS = ("bass", "drums", "other", "vocals")


def fault(when: str, song: str = "") -> None:
    if os.environ.get("WHEN", "AFTER") == when and os.environ.get("SONG", song) == song:
        exec(os.environ.get("FAULT", ""), {"song": song, "folder": folder(song)})


def folder(song: str) -> Path:
    return Path(os.environ["AICROWD_PUBLIC_SHARED_DIR"], "predictions", song)


class AIcrowdWrapper:
    def __init__(self) -> None:
        fault("LOADING")

    def separate_music_file(self, song: str) -> None:
        fault("BEFORE", song)
        path = Path(os.environ["AICROWD_DATASET_DIR"], song, "mixture.wav")
        with wave.open(str(path)) as mixture:
            samples = array.array("h", mixture.readframes(mixture.getnframes()))
            share = array.array("h", (sample // 4 for sample in samples)).tobytes()
            folder(song).mkdir()
            for stem in STEMS:
                with wave.open(str(folder(song) / f"{stem}.wav"), "wb") as file:
                    file.setparams(mixture.getparams())
                    file.writeframes(share)
        fault("AFTER", song)
