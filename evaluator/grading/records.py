"""The grader's records of a submission, song by song; all of them can be written as JSON."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OK = "ok"
LATE = "late"
"""No result within the limit; the server counts the whole submission as failed."""

MEMORY = "memory"
"""More memory than allowed."""

DIED = "died"
"""The process ended, for example by a segmentation fault."""

ERROR = "error"
"""An exception, named in the message."""

INCOMPLETE = "incomplete"
"""It reported success, but stems are missing or differ from the mixture in length or format."""

OUTCOMES = (OK, LATE, MEMORY, DIED, ERROR, INCOMPLETE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayInfo:
    """An array as the model returned it, before the wrapper wrote it to a file.

    Attributes:
        dtype: its name in numpy, or the name of the object's class if it is not an array.
        shape: ``(samples, channels)`` if correct.
        rate_hz: sample rate that the model returned with it; None without one.
        finite: whether it contains neither NaN nor infinity.
        peak: largest finite absolute value; 1.0 is full scale.
    """

    dtype: str
    shape: tuple[int, ...]
    rate_hz: int | None
    finite: bool
    peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StartUp:
    """The record of a start, up to the first song.

    Attributes:
        import_s: seconds to import the wrapper's module.
        load_s: seconds to build the wrapper, and with it the model.
        outcome: one of :data:`OUTCOMES`.
        message: description of the failure; empty if there was none.
        connections: hosts and addresses requested during all songs; there is no network, so each
            request failed.
    """

    import_s: float
    load_s: float
    outcome: str = OK
    message: str = ""
    connections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SongResult:
    """The record of one song.

    Attributes:
        name: name of its folder.
        seconds: wall-clock time from the request to the result.
        limit_s: time limit in seconds.
        peak_bytes: peak memory of all processes together while it was separated.
        outcome: one of :data:`OUTCOMES`.
        message: description of the failure; empty if there was none.
        arrays: by stem; empty if the model returned none, or they were not inspected.
    """

    name: str
    seconds: float
    limit_s: float
    peak_bytes: int
    outcome: str
    message: str = ""
    arrays: Mapping[str, ArrayInfo] = field(default_factory=dict)


def as_json(record: StartUp | SongResult) -> dict[str, Any]:
    """A record as plain values."""
    return {"kind": type(record).__name__, **dataclasses.asdict(record)}


def of_json(values: Mapping[str, Any]) -> StartUp | SongResult:
    """Undo :func:`as_json`.

    Raises:
        ValueError: these are not the values of a record.

    >>> song = SongResult(name="a", seconds=1.0, limit_s=2.0, peak_bytes=3, outcome=OK)
    >>> of_json(as_json(song)) == song
    True
    """
    rest = {key: value for key, value in values.items() if key != "kind"}
    try:
        if values["kind"] == StartUp.__name__:
            return StartUp(**{**rest, "connections": tuple(rest["connections"])})
        if values["kind"] == SongResult.__name__:
            arrays = {
                stem: ArrayInfo(**{**one, "shape": tuple(one["shape"])})
                for stem, one in rest["arrays"].items()
            }
            return SongResult(**{**rest, "arrays": arrays})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no record of a grade: {values!r}") from error
    raise ValueError(f"no record of a grade: {values!r}")
