"""Separate songs with the grader's limit while other processes burn every core.

    python tools/under_load.py --data DIR [--songs 10] [--seconds 30] [--burners 2 4 8]

For each number of burners, a predictor is set up next to them and separates songs one by one. It
prints the used part of each song's limit and its omissions, then the number of late songs, and of
songs separated completely, without equal shares of the mixture anywhere. The exit status is 1 if a
song was late.
"""

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demixing.engine.omissions import EVERY_MEMBER, Omission
from demixing.evaluation.songs import Song, find_songs
from demixing.recipes import reading, tracks
from my_submission.predictor import Predictor

BURN = "while True: pass"
"""The program of a busy process."""


@contextlib.contextmanager
def burning(count: int) -> Iterator[None]:
    """Run a number of busy processes until the block ends."""
    burners = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def cut(song: Song, start_s: float, seconds: float) -> tuple[np.ndarray, int]:
    """Read a part of a song's mixture, the sum of its stems, ``(samples, channels)``.

    A shorter song is read from its start.
    """
    info = soundfile.info(next(iter(song.stems.values())))
    rate_hz = info.samplerate
    start, stop = int(start_s * rate_hz), int((start_s + seconds) * rate_hz)
    if stop > info.frames:
        start, stop = 0, stop - start
    parts = [soundfile.read(path, start=start, stop=stop)[0] for path in song.stems.values()]
    return np.sum(parts, axis=0), rate_hz


def answered(omissions: Sequence[Omission]) -> bool:
    """Whether members separated the whole song."""
    return all(omission.member != EVERY_MEMBER for omission in omissions)


def separate(predictor: Predictor, song: Song, start_s: float, seconds: float) -> tuple[bool, bool]:
    """Separate a part of a song and print a line; returns whether it was late, and complete."""
    mixture, rate_hz = cut(song, start_s, seconds)
    started_s = time.monotonic()
    predictor.separate_music_file(mixture, rate_hz)
    took_s = time.monotonic() - started_s
    limit_s = predictor.track.time_limit * len(mixture) / rate_hz
    lacking = "; ".join(map(str, predictor.omissions)) or "whole"
    print(
        f"{song.name:<32}{took_s:7.2f} s of {limit_s:.2f} s, {took_s / limit_s:4.0%}  {lacking}",
        flush=True,
    )
    return took_s > limit_s, answered(predictor.omissions)


def main() -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of songs with true stems")
    parser.add_argument("--track", choices=sorted(tracks.TRACKS), default="mdx")
    parser.add_argument("--recipe", help="recipe; default: the track's")
    parser.add_argument("--songs", type=int, default=10, help="number of songs to separate (10)")
    parser.add_argument("--seconds", type=float, default=30, help="length of each song (30)")
    parser.add_argument("--burners", type=int, nargs="+", default=[2, 4, 8])
    options = parser.parse_args()
    track = tracks.by_name(options.track)
    songs = find_songs(options.data, track.name)
    chosen = reading.load(options.recipe) if options.recipe else reading.default(track)
    all_late = 0
    for burners in options.burners:
        with burning(burners):
            started_s = time.monotonic()
            predictor = Predictor(chosen)
            print(f"{burners} burners, set up in {time.monotonic() - started_s:.1f} s")
            results = [
                separate(
                    predictor,
                    songs[number % len(songs)],
                    5.0 * (number // len(songs)),
                    options.seconds,
                )
                for number in range(options.songs)
            ]
        late = sum(late for late, _ in results)
        whole = sum(whole for _, whole in results)
        print(f"{burners} burners: {late} of {len(results)} late, {whole} separated by members\n")
        all_late += late
    return 1 if all_late else 0


if __name__ == "__main__":
    sys.exit(main())
