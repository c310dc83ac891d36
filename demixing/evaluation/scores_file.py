"""What every reader of a scores.json may rely on.

The file is written by :func:`demixing.evaluation.report_json.json_report`, but people edit it. Null
is a score that is undefined. Other keys are ignored.
"""

from collections.abc import Iterator, Mapping
from typing import NotRequired, TypedDict

from demixing.evaluation import checked
from demixing.evaluation.report_json import Omission
from demixing.evaluation.songs import STEMS

ByStem = Mapping[str, float | None]


class Row(TypedDict):
    """A row below the songs."""

    song_db: float | None
    stems_db: ByStem


class Song(TypedDict):
    """The official scores of a song."""

    name: str
    mean_db: float | None
    stems_db: ByStem
    silent_references: tuple[str, ...]
    nearly_silent_references: tuple[str, ...]
    reference_levels_dbfs: ByStem
    omissions: NotRequired[tuple[Omission, ...]]


class About(TypedDict):
    """What is said of a metric."""

    title: str
    definition: str


class Values(TypedDict):
    """A song's values of a further metric."""

    mean: float | None
    stems: ByStem


class Further(About, Values):
    """A further metric."""

    songs: Mapping[str, Values]


class Scores(TypedDict):
    """The file."""

    track: str
    metric: About
    mean_db: float | None
    stems_db: ByStem
    active_mean: Row
    active_median: Row
    songs: tuple[Song, ...]
    metrics: NotRequired[Mapping[str, Further]]


def check(contents: object) -> None:
    """Raise unless the contents of a file of scores have the types that they are written with.

    Args:
        contents: as JSON was read.

    Raises:
        ValueError: they have not; the message names the key that is wrong.
    """
    scores: Scores = checked.check(contents, Scores, "scores")
    if scores["track"] not in STEMS:
        raise ValueError(f"expected scores.track to be {' or '.join(STEMS)}")
    for key, by_stem in _rows(scores):
        if missing := [stem for stem in STEMS[scores["track"]] if stem not in by_stem]:
            raise ValueError(f"expected {key} to have {missing[0]!r}, which is missing")


def _rows(scores: Scores) -> Iterator[tuple[str, ByStem]]:
    """Everything that must have all stems, and its name."""
    yield "scores.stems_db", scores["stems_db"]
    yield "scores.active_mean.stems_db", scores["active_mean"]["stems_db"]
    yield "scores.active_median.stems_db", scores["active_median"]["stems_db"]
    for at, song in enumerate(scores["songs"]):
        yield f"scores.songs[{at}].stems_db", song["stems_db"]
        yield f"scores.songs[{at}].reference_levels_dbfs", song["reference_levels_dbfs"]
    for metric in scores.get("metrics", {}).values():
        yield "scores.metrics.stems", metric["stems"]
        for values in metric["songs"].values():
            yield "scores.metrics.songs.stems", values["stems"]
