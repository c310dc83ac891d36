"""What the grader noticed of a submission, song by song; all of it can be written as JSON."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OK = "ok"
LATE = "late"
"""No answer within the limit; the server counts the whole submission as failed."""

MEMORY = "memory"
"""More memory than allowed."""

DIED = "died"
"""The process ended, for example by a segmentation fault."""

ERROR = "error"
"""An exception, which the message names."""

INCOMPLETE = "incomplete"
"""It said that it was done, but stems are missing or unlike the mixture."""

OUTCOMES = (OK, LATE, MEMORY, DIED, ERROR, INCOMPLETE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """An array as the model returned it, before the wrapper wrote it.

    Attributes:
        dtype: numpy's name of it, or that of the object's class if it is no array.
        shape: ``(samples, channels)``, if all is well.
        rate_hz: what the model says of it; None if it says nothing.
        finite: neither NaN nor infinity is in it.
        peak: largest absolute value, of those that are finite; 1.0 is full scale.
    """

    dtype: str
    shape: tuple[int, ...]
    rate_hz: int | None
    finite: bool
    peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What happened before the first song.

    Attributes:
        import_s: seconds to import the wrapper's module.
        load_s: seconds to build the wrapper, and with it the model.
        outcome: one of :data:`OUTCOMES`.
        message: what went wrong, or nothing.
        connections: hosts and addresses that were asked for, of all songs so far; there is no
            network, so each was refused.
    """

    import_s: float
    load_s: float
    outcome: str = OK
    message: str = ""
    connections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SongResult:
    """What happened to one song.

    Attributes:
        name: of its folder.
        seconds: by the clock on the wall, from asking for it to the answer.
        limit_s: that it was allowed.
        peak_bytes: most memory of all processes together, while it was separated.
        outcome: one of :data:`OUTCOMES`.
        message: what went wrong, or nothing.
        returned: arrays by stem, if the model returned any.
    """

    name: str
    seconds: float
    limit_s: float
    peak_bytes: int
    outcome: str
    message: str = ""
    returned: Mapping[str, Returned] = field(default_factory=dict)


def as_json(record: Beginning | SongResult) -> dict[str, Any]:
    """A record as plain values."""
    return {"kind": type(record).__name__, **dataclasses.asdict(record)}


def of_json(values: Mapping[str, Any]) -> Beginning | SongResult:
    """Undo :func:`as_json`.

    Raises:
        ValueError: it is none of ours.

    >>> song = SongResult(name="a", seconds=1.0, limit_s=2.0, peak_bytes=3, outcome=OK)
    >>> of_json(as_json(song)) == song
    True
    """
    rest = {key: value for key, value in values.items() if key != "kind"}
    try:
        if values["kind"] == Beginning.__name__:
            return Beginning(**{**rest, "connections": tuple(rest["connections"])})
        if values["kind"] == SongResult.__name__:
            returned = {
                stem: Returned(**{**one, "shape": tuple(one["shape"])})
                for stem, one in rest["returned"].items()
            }
            return SongResult(**{**rest, "returned": returned})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no record of a grade: {values!r}") from error
    raise ValueError(f"no record of a grade: {values!r}")
