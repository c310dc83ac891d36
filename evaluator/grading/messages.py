"""Messages of the harness, which the submission can forge: short, typed, and believed in nothing.

Each is one line of JSON. A line that is too long, or whose values have other types, was not written
by the harness.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from demixing.evaluation import checked
from evaluator.grading import records
from evaluator.grading.records import ArrayInfo

LONGEST = 64 * 1024
"""Longest line in bytes."""

SHOWN = 2000
"""Longest message in characters; the rest is left out."""

MOST_ARRAYS, MOST_AXES, LONGEST_NAME = 16, 8, 100
"""A description of arrays that exceeds these is left out."""

NOT_LOADED = "/"
"""In place of a song, in the first message: the harness runs, but has not imported anything. No
folder has this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What the harness reports.

    Attributes:
        outcome: one of :data:`evaluator.grading.records.OUTCOMES`.
        message: description of the failure; empty if there was none.
        import_s: seconds to import the submission.
        load_s: seconds to build its model.
        song: name of the song; empty after loading.
        arrays: by stem.
    """

    outcome: str
    message: str = ""
    import_s: float = 0.0
    load_s: float = 0.0
    song: str = ""
    arrays: Mapping[str, ArrayInfo] = field(default_factory=dict)


def parse(line: bytes) -> Message | None:
    """Read a line; None if the harness did not write it.

    >>> parse(b'{"outcome": "ok"}').outcome, parse(b"hello"), parse(b'{"outcome": [1e400]}')
    ('ok', None, None)
    """
    try:
        found = checked.parse(line, Message, "a message")
    except ValueError:
        return None
    if found.outcome not in records.OUTCOMES:
        return None
    plausible = len(found.arrays) <= MOST_ARRAYS and all(map(_plausible, found.arrays.items()))
    return Message(
        outcome=found.outcome,
        message=found.message[:SHOWN],
        import_s=found.import_s,
        load_s=found.load_s,
        song=found.song,
        arrays=found.arrays if plausible else {},
    )


def _plausible(named: tuple[str, ArrayInfo]) -> bool:
    """Whether a description may be that of an array."""
    stem, array = named
    return max(len(stem), len(array.dtype)) <= LONGEST_NAME and len(array.shape) <= MOST_AXES
