"""Leakage from a loud stem into a faint one; see :mod:`demixing.engine.leakage_filter`.

A good separator leaks a fiftieth of a stem's power into another one. That is inaudible unless the
other stem is 20 dB quieter: then it is mostly leakage, and its SDR is negative. This happens in
songs with hardly anything but a sub-bass.
"""

from dataclasses import dataclass

from demixing.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Leakage from one stem of a recipe into another.

    Attributes:
        of: the stem that leaks.
        into: the stem that contains the leakage.
        power: fraction of the power of ``of`` that leaks, the same in each band.
        returned: whether the removed leakage is added to ``of``, or dropped.
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
