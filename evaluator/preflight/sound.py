"""What can be said of the sound of one song; measured once, when a check asks for it."""

import functools
from collections.abc import Mapping

from evaluator.preflight import delays
from evaluator.preflight.delays import Correlation
from evaluator.preflight.files import SongFiles
from evaluator.preflight.products import Products


class Sound:
    """Measures of one song.

    Args:
        files: of a song whose estimates are complete and of the right form.
    """

    def __init__(self, files: SongFiles) -> None:
        self.files = files
        self.stems = tuple(files.estimates)

    @functools.cached_property
    def products(self) -> Products:
        """Inner products of all files."""
        return Products.of(self.files)

    @functools.cached_property
    def correlations(self) -> Mapping[str, Correlation]:
        """Correlations over time differences."""
        return delays.correlations(self.files)
