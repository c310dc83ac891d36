"""evaluate_locally.py, but songs named in HELD are never finished: writing them stops half-way.

Workers run this file too, so its replacements apply in them. A file ``held`` next to the stems
shows that the wait has begun.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import soundfile

import evaluate_locally

write = soundfile.write


def held_write(path: bytes, *args: Any, **options: Any) -> None:
    """Write a stem, unless it is the second one of a song that is held."""
    stem = Path(os.fsdecode(path))
    if stem.name == "drums.wav" and stem.parts[-3] in os.environ["HELD"].split():
        stem.with_name("held").touch()
        while True:
            time.sleep(0.005)
    write(path, *args, **options)


if __name__ in ("__main__", "__mp_main__"):  # but not where tests are collected
    soundfile.write = held_write

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(evaluate_locally.main())
