"""Separates the songs of an evaluation in this process, for an installed package."""

import functools
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from demixing.audio.files import whole_files
from demixing.cli import bar, unlimited
from demixing.engine import progress
from demixing.engine.gating import apply_gates
from demixing.engine.omissions import Omission
from demixing.errors import DemixError
from demixing.evaluation.run import Run
from demixing.evaluation.song_files import RIGHT
from demixing.evaluation.songs import wav_file
from demixing.recipes.recipe import Recipe
from demixing.recipes.tracks import Track

Finish = Callable[[str, tuple[Omission, ...]], None]


def separate(
    lengths_s: Mapping[str, float],
    run: Run,
    track: Track,
    recipe: Recipe,
    finish: Finish,
    *,
    quiet: bool,
) -> dict[str, float]:
    """Separate songs of a run, one at a time.

    Args:
        lengths_s: length of each song, by name.
        run: contains the songs in the grader's layout.
        track: of the run.
        recipe: the recipe.
        finish: called after each song.
        quiet: do not show progress.

    Returns:
        Seconds taken by each song, without loading the networks.

    Raises:
        SongError: a song cannot be separated.
        OutputError: its stems cannot be written.
    """
    spent_s: dict[str, float] = {}
    if not lengths_s:
        return spent_s
    with bar(track.name, quiet=quiet) as report:
        together = progress.Together(lengths_s, report)
        demixer = unlimited.ready(recipe)
        for song in lengths_s:
            started_s = time.monotonic()
            mixture, rate_hz = read(run, track, song)
            try:
                stems = unlimited.separated(
                    demixer, mixture, rate_hz, functools.partial(note, together, song)
                )
                apply_gates(recipe.gates, stems, mixture)
                write(run.predictions / song, track, song, stems, rate_hz)
            except DemixError as error:
                raise type(error)(f"song {song!r}: {error}") from error
            spent_s[song] = time.monotonic() - started_s
            finish(song, demixer.omissions)
    return spent_s


def note(together: progress.Together, song: str, event: progress.Progress) -> None:
    """Forward the progress of one song to the total."""
    together.update(song, event.done)


def read(run: Run, track: Track, song: str) -> tuple[NDArray[np.float64], int]:
    """Read a mixture, ``(samples, channels)``, and its rate in Hz."""
    files = [run.mixture(song)]
    if track.split_mixture:
        files.append(files[0].with_name(wav_file(track.name, song, RIGHT)))
    parts = [soundfile.read(os.fsencode(path), always_2d=True) for path in files]
    return np.concatenate([audio for audio, _ in parts], axis=1), int(parts[0][1])


def write(
    folder: Path, track: Track, song: str, stems: Mapping[str, NDArray[np.float32]], rate_hz: int
) -> None:
    """Write the stems of a song as the grader's wrapper does, all or none."""
    targets = [folder / track.stem_file(song, stem) for stem in stems]
    with whole_files(targets) as paths:
        for path, audio in zip(paths, stems.values(), strict=True):
            soundfile.write(os.fsencode(path), audio, rate_hz, subtype="PCM_16")
