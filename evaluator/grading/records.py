"""The grader's records of a submission, song by song; all of them can be written as JSON."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from demixing.evaluation import checked

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


def as_json(record: StartUp | SongResult) -> str:
    """A record as one line of JSON, without its end."""
    values = {"kind": type(record).__name__, **dataclasses.asdict(record)}
    return json.dumps(values, allow_nan=False)


def parse(text: str | bytes) -> StartUp | SongResult:
    """Read a record from JSON.

    Raises:
        ValueError: it is no record; the message says what differs.

    >>> song = SongResult(name="a", seconds=1.0, limit_s=2.0, peak_bytes=3, outcome=OK)
    >>> parse(as_json(song)) == song
    True
    """
    what = "a record of a grade"
    kind = checked.parse(text, _Kind, what).kind
    if kind not in KINDS:
        raise ValueError(f"expected {what}, got one of another kind")
    record = checked.parse(text, KINDS[kind], what)
    if record.outcome not in OUTCOMES:
        raise ValueError(f"expected {what} with an outcome of {', '.join(OUTCOMES)}")
    return record


@dataclass(frozen=True, slots=True)
class _Kind:
    """What all records have."""

    kind: str


KINDS: Mapping[str, type[StartUp | SongResult]] = {
    kind.__name__: kind for kind in (StartUp, SongResult)
}
