"""What every reader of a scores.json may rely on.

The file is written by :func:`demixing.evaluation.report.json_report`, but people edit it, and an
entry of the history has a copy.
"""

import math
from collections.abc import Mapping
from typing import Any

from demixing.evaluation.songs import STEMS


def check(contents: object) -> None:
    """Raise unless the contents of a file of scores have the types that they are written with.

    Args:
        contents: as JSON was read.

    Raises:
        ValueError: they have not; the message names the first key that is wrong.
    """
    table = _mapping(contents, "the scores")
    track = table.get("track")
    if not isinstance(track, str) or track not in STEMS:
        raise ValueError(f"'track' is {track!r}")
    stems = STEMS[track]
    _metric(table.get("metric"))
    _number(table.get("mean_db"), "mean_db")
    _numbers(table.get("stems_db"), stems, "stems_db")
    for key in ("active_mean", "active_median"):
        row = _mapping(table.get(key), key)
        _number(row.get("song_db"), f"{key}.song_db")
        _numbers(row.get("stems_db"), stems, f"{key}.stems_db")
    for song in _list(table.get("songs"), "songs"):
        _song(_mapping(song, "songs"), stems)
    for name, further in _mapping(table.get("metrics", {}), "metrics").items():
        _further(_mapping(further, name), stems)


def _song(song: Mapping[str, Any], stems: tuple[str, ...]) -> None:
    """Check the entry of one song."""
    name = _text(song.get("name"), "songs.name")
    _number(song.get("mean_db"), f"mean_db of {name!r}")
    _numbers(song.get("stems_db"), stems, f"stems_db of {name!r}")
    for key in ("silent_references", "nearly_silent_references"):
        _list(song.get(key), key)
    _numbers(song.get("reference_levels_dbfs"), stems, "reference_levels_dbfs")
    for one in _list(song.get("omissions", []), "omissions"):
        omission = _mapping(one, "omissions")
        _number(omission.get("part"), "omissions.part")
        for key in ("member", "reason"):
            _text(omission.get(key), f"omissions.{key}")


def _further(metric: Mapping[str, Any], stems: tuple[str, ...]) -> None:
    """Check the entry of a further metric."""
    _metric(metric)
    _number(metric.get("mean"), "mean")
    _numbers(metric.get("stems"), stems, "stems")
    for name, scores in _mapping(metric.get("songs"), "songs").items():
        own = _mapping(scores, name)
        _number(own.get("mean"), "mean")
        _numbers(own.get("stems"), stems, "stems")


def _metric(value: object) -> None:
    """Check what is said of a metric."""
    about = _mapping(value, "metric")
    for key in ("title", "definition"):
        _text(about.get(key), key)


def _mapping(value: object, key: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{key!r} is no object")
    return value


def _list(value: object, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{key!r} is no list")
    return value


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key!r} is no text")
    return value


def _number(value: object, key: str) -> None:
    """Null is a score that is undefined."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{key!r} is {value!r}, which is no number")


def _numbers(value: object, stems: tuple[str, ...], key: str) -> None:
    """A number per stem."""
    by_stem = _mapping(value, key)
    for stem in stems:
        if stem not in by_stem:
            raise ValueError(f"{key!r} lacks {stem!r}")
        _number(by_stem[stem], f"{key}.{stem}")
