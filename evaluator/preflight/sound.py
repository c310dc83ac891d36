"""Measurements of one song, computed on first use."""

import functools
from collections.abc import Mapping

from evaluator.preflight import delays
from evaluator.preflight.delays import Correlation
from evaluator.preflight.file_gram import FileGram
from evaluator.preflight.files import SongFiles


class Sound:
    """Measurements of one song.

    Args:
        files: files of a song with complete estimates in the right format.
    """

    def __init__(self, files: SongFiles) -> None:
        self.files = files
        self.stems = tuple(files.estimates)

    @functools.cached_property
    def gram(self) -> FileGram:
        """Inner products of all files."""
        return FileGram.of(self.files)

    @functools.cached_property
    def correlations(self) -> Mapping[str, Correlation]:
        """Cross-correlations, by stem or :data:`evaluator.preflight.delays.SUM`."""
        return delays.correlations(self.files)
