"""How much test-time augmentation a member of an ensemble may take."""

from dataclasses import dataclass

from demixing.errors import ConfigError

MAX_PASSES = 32

MAX_OVERLAP = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How much care a member may take, and what that is worth.

    Attributes:
        passes: over the song, each with the chunks cut elsewhere; their mean counts.
        polarity: every other pass hears the song upside down.
        channel_swap: passes take turns in hearing the channels swapped.
        overlap: of neighbouring chunks, as a part of what is kept of a chunk; None: as the
            separator's authors have it.
        gain_db: measured SDR over the member's first setting.
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
