"""The contents of a ``scores.json`` -> the scores of a system.

What ``demixing evaluate`` writes for a track, and what ``demixing score --json`` and ``demixing
evaluate --json`` write. Files of older versions have no id of the metric.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demixing import small_files
from demixing.errors import EvaluationError
from demixing.evaluation.comparison.artists import named
from demixing.evaluation.comparison.scores import MetricInfo, Reference, SongScores, System
from demixing.evaluation.measuring import finite
from demixing.evaluation.song_files import normal
from demixing.evaluation.songs import STEMS


def load(path: Path) -> Any:
    """The contents of a file of scores.

    Raises:
        EvaluationError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(small_files.read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is not JSON"
        raise EvaluationError(
            f"expected scores as `demixing evaluate` writes them in {str(path)!r}, but {reason}; "
            "name a run's folder or its scores.json"
        ) from error


def system(
    contents: Any, where: str, *, name: str, kind: str, metric: str, track: str | None = None
) -> System:
    """Convert the contents of a file.

    Args:
        contents: of the file.
        where: the file, for messages.
        name: of the system.
        kind: of the system.
        metric: key of the metric.
        track: the wanted one, if the file has several.

    Raises:
        EvaluationError: it has other contents, or no scores of this metric or track.
    """
    try:
        table = _of_track(contents, where, track)
        found = _metric(table, where, metric)
        stems = STEMS[table["track"]]
        scores = _scores(table, found)
        return System(
            name=name,
            kind=kind,
            track=table["track"],
            metric=found,
            songs={
                normal(str(song["name"])): SongScores(
                    stems={stem: _number(scores[song["name"]].get(stem)) for stem in stems},
                    reference=_reference(song, stems),
                )
                for song in table["songs"]
            },
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EvaluationError(
            f"expected scores as `demixing evaluate` writes them in {where}, found something "
            "else; evaluate again"
        ) from error


def _of_track(contents: Any, where: str, track: str | None) -> Any:
    """The scores of one track, from a file that may have both.

    Raises:
        EvaluationError: it has no scores of the track, or of two, and none is chosen.
    """
    if "songs" in contents:
        found = {contents["track"]: contents}
    else:
        found = {name: contents[name] for name in STEMS if name in contents}
    if track is None and len(found) == 1:
        return next(iter(found.values()))
    if track is None and found:
        raise EvaluationError(
            f"expected scores of one track in {where}, found {' and '.join(found)}; choose one, "
            "for example --track mdx"
        )
    if track is not None and track not in found:
        raise EvaluationError(
            f"expected scores of the track {track!r} in {where}, found {' and '.join(found)}; "
            "choose another --track"
        )
    return found[str(track)]


def _metric(table: Any, where: str, wanted: str) -> MetricInfo:
    """What the file says of a metric.

    Raises:
        EvaluationError: it has no scores of it.
    """
    first = table["metric"]
    others = table.get("metrics", {})
    if wanted == first["name"]:
        return _info(wanted, first)
    if wanted in others:
        return _info(wanted, others[wanted])
    available = ", ".join([str(first["name"]), *map(str, others)])
    raise EvaluationError(
        f"expected scores of the metric {wanted!r} in {where}, found {available}; evaluate again "
        "with that metric, or choose another --metric"
    )


def _info(name: str, entry: Mapping[str, Any]) -> MetricInfo:
    """A metric from its entry."""
    return MetricInfo(
        name=name,
        id=str(entry.get("id", "")),
        title=str(entry["title"]),
        definition=str(entry["definition"]),
        unit=str(entry.get("unit", "dB")),
        higher_is_better=bool(entry.get("higher_is_better", True)),
    )


def _scores(table: Any, metric: MetricInfo) -> dict[str, Mapping[str, Any]]:
    """Scores by song and stem."""
    if metric.name == table["metric"]["name"]:
        return {song["name"]: song["stems_db"] for song in table["songs"]}
    return {name: song["stems"] for name, song in table["metrics"][metric.name]["songs"].items()}


def _reference(song: Mapping[str, Any], stems: tuple[str, ...]) -> Reference:
    """What the file says of a song's true stems."""
    levels = song["reference_levels_dbfs"]
    return Reference(
        samples=int(song["samples"]),
        sample_rate_hz=int(song["sample_rate_hz"]),
        channels=int(song["channels"]),
        levels_dbfs={stem: _number(levels[stem]) for stem in stems},
        artist=named(str(song["name"])),
    )


def _number(value: Any) -> float | None:
    """A finite number; None for null and for what is not finite."""
    return None if value is None else finite(float(value))
