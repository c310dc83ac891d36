"""Separate songs with the grader's limit while other processes burn every core.

    python tools/under_load.py --data DIR [--songs 10] [--seconds 20] [--burners 2]

Prints for each song how much of its limit was used. The status is 1 if one was late.
"""

import argparse
import multiprocessing
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evaluator.songs import Song, find_songs
from my_submission import recipe, tracks
from my_submission.predictor import Predictor, budget


def burn() -> None:
    """Keep a core busy with what torch does most."""
    import torch

    torch.set_num_threads(2)
    a = torch.randn(512, 512)
    while True:
        torch.mm(a, a)


def cut(song: Song, start_s: float, seconds: float) -> tuple[np.ndarray, int]:
    """Read a part of a song's mixture, the sum of its stems, ``(samples, channels)``."""
    rate_hz = soundfile.info(next(iter(song.stems.values()))).samplerate
    start, stop = int(start_s * rate_hz), int((start_s + seconds) * rate_hz)
    parts = [soundfile.read(path, start=start, stop=stop)[0] for path in song.stems.values()]
    return np.sum(parts, axis=0), rate_hz


def main() -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--track", choices=sorted(tracks.TRACKS), default="mdx")
    parser.add_argument("--songs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--burners", type=int, default=2)
    options = parser.parse_args()
    track = tracks.by_name(options.track)
    songs = find_songs(options.data, track.name)
    predictor = Predictor(recipe.default(track))
    context = multiprocessing.get_context("spawn")
    burners = [context.Process(target=burn, daemon=True) for _ in range(options.burners)]
    for burner in burners:
        burner.start()
    time.sleep(10)  # they have to import torch first
    late = 0
    for number in range(options.songs):
        song = songs[number % len(songs)]
        mixture, rate_hz = cut(song, 5.0 * (number // len(songs)), options.seconds)
        started_s = time.monotonic()
        predictor.separate_music_file(mixture, rate_hz)
        took_s = time.monotonic() - started_s
        limit_s = track.time_limit * len(mixture) / rate_hz
        late += took_s > limit_s
        print(
            f"{song.name:<32}{took_s:7.2f} s of {limit_s:.2f} s, "
            f"budget {budget(track, len(mixture) / rate_hz):.2f} s, {took_s / limit_s:4.0%}"
        )
    print(f"{late} of {options.songs} late")
    for burner in burners:
        burner.terminate()
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
