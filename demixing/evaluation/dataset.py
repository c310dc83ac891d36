"""Converts songs from any known layout to the one that the grader gives to a submission.

    mdx   DIR/<song>/mixture.wav
    cdx   DIR/<clip>/<clip>_mixture_Lt.wav and <clip>_mixture_Rt.wav, both mono

The true stems are next to them, for scoring. Files that already have the right form are linked, not
copied; streams of a file with several are decoded. If a data set has no mixture, it is the sum of
the stems, in 32-bit floats, so that nothing is clipped or rounded.
"""

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from demixing import atomic
from demixing.errors import EvaluationError
from demixing.evaluation import stem_file
from demixing.evaluation.audio import blocks, probe
from demixing.evaluation.songs import STEMS, Song

WAV_LIMIT_BYTES = 2**32 - 2**16
"""Sizes in the header of a larger WAV overflow; RF64 is the same format with wider fields."""


def prepare(song: Song, track: str, folder: Path) -> None:
    """Write ``folder/<song>``: the mixture in the grader's layout, and the true stems.

    Does nothing if the folder exists, because it appears whole or not at all.

    Args:
        song: song with all stems of the track.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        folder: exists.

    Raises:
        EvaluationError: stems are missing or damaged, or differ in rate, channels or length.
    """
    if (folder / song.name).is_dir():
        return
    for stem in STEMS[track]:
        if stem not in song.stems:
            raise EvaluationError(
                f"expected {', '.join(STEMS[track])} in {str(song.folder)!r}, but {stem!r} is "
                "missing; add it or choose complete songs"
            )
    _check_alike(song, track)
    try:
        with atomic.folder(folder / song.name) as unfinished:
            if track == "mdx":
                _mdx(song, unfinished)
            else:
                _cdx(song, unfinished)
    # soundfile asserts that everything was written; libsndfile calls a full disk a "System error".
    except (OSError, soundfile.LibsndfileError, AssertionError) as error:
        reason = getattr(error, "strerror", None) or f"{error} Is the disk full?".strip()
        raise EvaluationError(
            f"cannot prepare song {song.name!r} in {str(folder)!r} ({reason}); "
            "choose another --output"
        ) from error


def _check_alike(song: Song, track: str) -> None:
    """Raise early if the output could not be compared with the references."""
    first, *others = song.stems.values()
    expected = probe(first)
    for path in (*others, *song.mixture):
        found = probe(path)
        if track == "cdx" and path in song.mixture:  # one side, or mono: it becomes stereo
            found = dataclasses.replace(found, channels=expected.channels)
        if found != expected:
            raise EvaluationError(
                f"expected {expected} in {str(path)!r} as in {str(first)!r}, found {found}; "
                "use one format for both"
            )


def _mdx(song: Song, stage: Path) -> None:
    """Link the stems, and link or write the mixture."""
    for stem, path in song.stems.items():
        if stem_file.is_stream(path):
            _decode(path, stage / f"{stem}.wav")
        else:
            _link(path, stage / f"{stem}{path.suffix.lower()}")
    target = stage / "mixture.wav"
    if len(song.mixture) == 1 and song.mixture[0].suffix.lower() == ".wav":
        _link(song.mixture[0], target)
    else:
        _write(target, song, slice(None))


def _decode(source: Path, target: Path) -> None:
    """Write a stream as a file of its own."""
    layout = probe(source)
    with _sound(target, layout.sample_rate_hz, layout.channels, layout.samples) as file:
        for block in blocks(source, layout.samples):
            file.write(block)


def _cdx(song: Song, stage: Path) -> None:
    """Link or write the two sides of the mixture; mono stems become stereo, as estimates are."""
    for stem, path in song.stems.items():
        target = stage / f"{song.name}_{stem}{path.suffix.lower()}"
        layout = probe(path)
        if layout.channels == 2:
            _link(path, target)
            continue
        wide = target.with_suffix(".wav")
        with _sound(wide, layout.sample_rate_hz, 2, layout.samples) as file:
            for block in blocks(path, layout.samples):
                file.write(_stereo(block, path))
    for side, name in enumerate(("Lt", "Rt")):
        target = stage / f"{song.name}_mixture_{name}.wav"
        if len(song.mixture) == 2 and song.mixture[side].suffix.lower() == ".wav":
            _link(song.mixture[side], target)
        else:
            _write(target, song, slice(side, side + 1))


def _write(target: Path, song: Song, channels: slice) -> None:
    """Write channels of a song's mixture, or of the sum of its stems if it has no mixture.

    Args:
        target: file to write.
        song: the song to read.
        channels: which channels of the stereo mixture; all of them, unchanged, for ``slice(None)``.
    """
    sources = list(song.mixture or song.stems.values())
    layout = probe(sources[0])
    halves = len(song.mixture) == 2
    stereo = channels.start is not None
    width = 1 if stereo else layout.channels
    with _sound(target, layout.sample_rate_hz, width, layout.samples) as file:
        for mixture in _sums(sources, layout.samples, halves=halves):
            whole = _stereo(mixture, sources[0]) if stereo else mixture
            file.write(whole[:, channels])


def _sums(paths: list[Path], samples: int, *, halves: bool) -> Iterator[NDArray[np.float64]]:
    """Sum files block by block, or join the two sides of a mixture.

    Args:
        paths: files of one layout.
        samples: length of each.
        halves: whether the files are the left and the right side.

    Yields:
        ``(samples, channels)``.
    """
    for group in zip(*(blocks(path, samples) for path in paths), strict=True):
        yield np.concatenate(group, axis=1) if halves else np.sum(group, axis=0)


def _stereo(block: NDArray[np.float64], path: Path) -> NDArray[np.float64]:
    """Copy mono to both channels.

    Args:
        block: ``(samples, channels)``.
        path: path for messages.

    Returns:
        ``(samples, 2)``.

    Raises:
        EvaluationError: there are more than two channels.
    """
    if block.shape[1] > 2:
        raise EvaluationError(
            f"expected one or two channels in {str(path)!r}, found {block.shape[1]}; mix it down"
        )
    return np.broadcast_to(block, (len(block), 2))


def _sound(path: Path, sample_rate_hz: int, channels: int, samples: int) -> soundfile.SoundFile:
    """Open a 32-bit float WAV for writing."""
    large = samples * channels * 4 > WAV_LIMIT_BYTES
    return soundfile.SoundFile(
        os.fsencode(path),  # soundfile encodes names strictly
        "w",
        sample_rate_hz,
        channels,
        "FLOAT",
        format="RF64" if large else "WAV",
    )


def _link(source: Path, target: Path) -> None:
    """Link ``target`` to ``source``; copy it where the file system has no links."""
    try:
        target.symlink_to(source.resolve())
    except (OSError, NotImplementedError):
        shutil.copyfile(source, target)
