"""The files of one separated song, and a reader for parts of them."""

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from demixing.errors import EvaluationError
from demixing.evaluation.audio import Layout, probe


@dataclass(frozen=True)
class SongFiles:
    """Files of a song.

    Attributes:
        name: name of its folder.
        estimates: expected path of each separated stem.
        references: true stems, all or none.
        mixture: one file, or the left and the right channel.
    """

    name: str
    estimates: Mapping[str, Path]
    references: Mapping[str, Path]
    mixture: tuple[Path, ...]

    @functools.cached_property
    def layout(self) -> Layout:
        """Required layout of estimates: the mixture's, or stereo if that is two files.

        Raises:
            EvaluationError: the mixture is damaged.
        """
        layouts = [probe(path) for path in self.mixture]
        channels = sum(layout.channels for layout in layouts)
        return Layout(layouts[0].sample_rate_hz, channels, layouts[0].samples)

    @functools.cached_property
    def wrong(self) -> Mapping[str, str]:
        """Faults in the format of estimates, by stem."""
        found = {}
        for stem, path in self.estimates.items():
            if not path.is_file():
                found[stem] = "no file"
                continue
            try:
                layout = probe(path)
            except EvaluationError as error:
                found[stem] = f"a damaged file ({error})"
                continue
            if layout != self.layout:
                found[stem] = str(layout)
        return found


class Reader:
    """Reads parts of a song's files, ``(samples, channels)``; outside of them, silence.

    Args:
        files: files of the song, all with its layout.
    """

    def __init__(self, files: SongFiles) -> None:
        self._files = files
        self._open: dict[Path, soundfile.SoundFile] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()

    def estimate(self, stem: str, start: int, stop: int) -> NDArray[np.float64]:
        """Part of an estimate, ``(samples, channels)``; it may have NaN or infinity.

        Raises:
            EvaluationError: the file is damaged.
        """
        return self._read([self._files.estimates[stem]], start, stop)

    def reference(self, stem: str, start: int, stop: int) -> NDArray[np.float64]:
        """Part of a true stem, ``(samples, channels)``; mono is copied to all channels.

        Raises:
            EvaluationError: the file is damaged.
        """
        return self._read([self._files.references[stem]], start, stop)

    def mixture(self, start: int, stop: int) -> NDArray[np.float64]:
        """Part of the mixture, ``(samples, channels)``.

        Raises:
            EvaluationError: a file is damaged.
        """
        return self._read(self._files.mixture, start, stop)

    def _read(self, paths: Sequence[Path], start: int, stop: int) -> NDArray[np.float64]:
        """Read the same part of files whose channels belong together."""
        result = np.zeros((stop - start, self._files.layout.channels))
        inner = slice(max(start, 0), min(stop, self._files.layout.samples))
        parts = [self._part(path, inner) for path in paths]
        # A single mono file fills all channels.
        result[inner.start - start : inner.stop - start] = np.concatenate(parts, axis=1)
        return result

    def _part(self, path: Path, part: slice) -> NDArray[np.float64]:
        """Read a part inside one file, ``(samples, channels)``."""
        try:
            if path not in self._open:
                self._open[path] = soundfile.SoundFile(os.fsencode(path))
            file = self._open[path]
            file.seek(part.start)
            audio: NDArray[np.float64] = file.read(part.stop - part.start, always_2d=True)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise EvaluationError(
                f"expected {part.stop} samples in {str(path)!r}, which cannot be read ({error}); "
                "write it again"
            ) from error
        if len(audio) != part.stop - part.start:
            raise EvaluationError(
                f"expected {part.stop} samples in {str(path)!r}, found "
                f"{part.start + len(audio)}; write it again"
            )
        return audio
