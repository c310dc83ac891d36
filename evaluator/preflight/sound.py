"""What can be said of the sound of one song; measured once, when a check asks for it."""

import functools
from collections.abc import Mapping

from evaluator.preflight import delays
from evaluator.preflight.delays import Correlation
from evaluator.preflight.file_gram import FileGram
from evaluator.preflight.files import SongFiles


class Sound:
    """Measures of one song.

    Args:
        files: of a song whose estimates are complete and of the right form.
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
        """Correlations over time differences."""
        return delays.correlations(self.files)
