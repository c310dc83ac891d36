"""Omissions: which members are missing from a song's result, for how much of it, and why.

A song that was separated in time but without a member does not represent its recipe, and neither
does its score. So each result comes with its omissions.
"""

from collections.abc import Iterable
from dataclasses import dataclass

EVERY_MEMBER = ""
"""Stands for all members: none had an output, and the stems are shares of the mixture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Omission:
    """One member without output for all or part of a song.

    Attributes:
        member: its name in the recipe, or :data:`EVERY_MEMBER`.
        part: fraction of the song without its output, above 0; 1 for the whole song.
        reason: why, in a few words.

    >>> print(Omission(member="spleeter", part=0.25, reason="out of time"))
    25 % of the song without spleeter (out of time)
    >>> print(Omission(member=EVERY_MEMBER, part=1.0, reason="out of time"))
    the whole song in equal shares of the mixture (out of time)
    """

    member: str
    part: float
    reason: str

    def __str__(self) -> str:
        where = "the whole song" if self.part >= 1 else f"{100 * self.part:.2g} % of the song"
        what = f"without {self.member}" if self.member else "in equal shares of the mixture"
        return f"{where} {what} ({self.reason})"


def merged(omissions: Iterable[Omission]) -> tuple[Omission, ...]:
    """Merge omissions of the same member and reason; members keep their order.

    >>> half = Omission(member="net", part=0.5, reason="it failed")
    >>> merged([half, half])
    (Omission(member='net', part=1.0, reason='it failed'),)
    """
    parts: dict[tuple[str, str], float] = {}
    for one in omissions:
        key = one.member, one.reason
        parts[key] = min(parts.get(key, 0.0) + one.part, 1.0)
    return tuple(
        Omission(member=member, part=part, reason=reason)
        for (member, reason), part in parts.items()
    )
