"""The test-time augmentation of a member."""

from dataclasses import dataclass

from demixing.errors import ConfigError

MAX_PASSES = 32

MAX_OVERLAP = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A member's test-time augmentation (:mod:`demixing.chunks.tta`), and its gain.

    Attributes:
        passes: number of passes over the song, each cut in different places (shift trick); their
            mean is taken.
        polarity: every other pass inverts the sign of the song.
        channel_swap: passes alternate between original and swapped channels.
        overlap: of neighbouring chunks, as a fraction of a chunk without its context; None: the
            separator's own.
        gain_db: measured SDR gain over the member's first setting; negative for one that is
            cheaper than the first.
    """

    passes: int = 1
    polarity: bool = False
    channel_swap: bool = False
    overlap: float | None = None
    gain_db: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.passes <= MAX_PASSES:
            raise ConfigError(f"expected passes from 1 to {MAX_PASSES}, got {self.passes}")
        if self.overlap is not None and not 0 <= self.overlap <= MAX_OVERLAP:
            raise ConfigError(f"expected an overlap from 0 to {MAX_OVERLAP}, got {self.overlap}")

    @property
    def in_words(self) -> str:
        """What plans print after a member's name.

        >>> Setting(passes=2, overlap=0.1).in_words, Setting().in_words
        (' x 2 at overlap 0.1', '')
        """
        times = f" x {self.passes}" if self.passes > 1 else ""
        return times + (f" at overlap {self.overlap:g}" if self.overlap is not None else "")
