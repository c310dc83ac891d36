"""A summary -> JSON for programs, the contents of ``scores.json``."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from demixing.evaluation.measuring import finite
from demixing.evaluation.metrics import OFFICIAL, Metric
from demixing.evaluation.scoring import SongScore
from demixing.evaluation.summary import Averages, Figures, MetricSummary, Summary


class Omission(TypedDict):
    """A member that is missing from a song.

    Attributes:
        member: name in the recipe; empty if no member returned anything.
        part: share of the song without it, above 0; 1 is all of it.
        reason: why, in a few words.
    """

    member: str
    part: float
    reason: str


def contents(
    summary: Summary,
    metric: Metric,
    omissions: Mapping[str, Sequence[Omission]] | None = None,
    further: Iterable[Metric] = (),
) -> dict[str, Any]:
    """Everything that is known, as scores.json has it.

    Args:
        summary: the scores.
        metric: the official metric.
        omissions: members missing from each song; None if that is not known.
        further: other metrics of the summary.
    """
    return {
        "metric": {
            "name": metric.name,
            "id": metric.id,
            "title": metric.title,
            "definition": metric.definition,
        },
        "track": summary.track,
        "mean_db": summary.mean_db,
        "stems_db": dict(summary.stems_db),
        "active_mean": _figures(summary.active_mean),
        "active_median": _figures(summary.active_median),
        "songs": [
            _song(song)
            | ({} if omissions is None else {"omissions": list(omissions.get(song.name, ()))})
            for song in summary.songs
        ],
        "metrics": {
            one.name: _metric(one, summary.further[one.name])
            for one in further
            if one.name != OFFICIAL
        },
    }


def json_text(found: Mapping[str, Any]) -> str:
    """The result of :func:`contents` as JSON, which has neither NaN nor infinity."""
    return json.dumps(found, indent=2, allow_nan=False) + "\n"


def json_report(
    summary: Summary,
    metric: Metric,
    omissions: Mapping[str, Sequence[Omission]] | None = None,
    further: Iterable[Metric] = (),
) -> str:
    """The result of :func:`contents` as JSON; its arguments are the same."""
    return json_text(contents(summary, metric, omissions, further))


def _metric(metric: Metric, values: MetricSummary) -> dict[str, object]:
    """One metric besides the official one for JSON; null where it is undefined."""
    return {
        "id": metric.id,
        "title": metric.title,
        "definition": metric.definition,
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        **_averages(values.all),
        "active_mean": _averages(values.active_mean),
        "active_median": _averages(values.active_median),
        "songs": {name: _averages(own) for name, own in values.songs.items()},
    }


def _averages(values: Averages) -> dict[str, object]:
    """A mean and its stems for JSON."""
    return {"mean": values.mean, "stems": dict(values.stems)}


def _figures(figures: Figures) -> dict[str, object]:
    """One row below the songs for JSON; null where no reference is active."""
    return {"song_db": figures.song_db, "stems_db": dict(figures.stems_db)}


def _song(song: SongScore) -> dict[str, object]:
    """One song for JSON, which has no infinity, so the level of silence is null."""
    return {
        "name": song.name,
        "mean_db": song.mean_db,
        "stems_db": dict(song.stems_db),
        "active_mean_db": song.active_mean_db,
        "silent_references": list(song.silent),
        "nearly_silent_references": list(song.nearly_silent),
        "reference_levels_dbfs": {
            stem: finite(level_dbfs) for stem, level_dbfs in song.levels_dbfs.items()
        },
        "sample_rate_hz": song.layout.sample_rate_hz,
        "channels": song.layout.channels,
        "samples": song.layout.samples,
    }
