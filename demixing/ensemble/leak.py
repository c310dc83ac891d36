"""What a loud stem leaks into a faint one, and gets back: :mod:`demixing.engine.leakage_filter`.

A separator that puts a fiftieth of a stem's power into another one is a good one, and nobody hears
it, unless the other stem is twenty decibels below: then it is mostly leak. So it is where a
sub-bass is all that a song has, and the faint stem's SDR is below zero.
"""

from dataclasses import dataclass

from demixing.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """From one stem of a recipe into another.

    Attributes:
        of: the stem that leaks.
        into: the stem that it is heard in.
        power: the part of its power that leaks, in any band.
        returned: whether it gets back what is taken, or that is dropped.
    """

    of: str
    into: str
    power: float
    returned: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.power < 1:
            raise ConfigError(f"expected the power of a leak between 0 and 1, got {self.power}")
        if self.of == self.into:
            raise ConfigError(f"expected a leak from one stem into another, got {self.of!r} twice")
