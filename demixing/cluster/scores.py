"""Scores one song of a batch, from two folders of stem files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from demixing.cluster.tasks import Task
from demixing.evaluation import metrics, report_json, songs
from demixing.evaluation.scoring import SongScore, score_song
from demixing.evaluation.summary import summarise


def scored(
    references: Path, estimates: Path, name: str, task: Task
) -> tuple[str, dict[str, float | None]]:
    """Score a song.

    Args:
        references: folder that contains only the song's folder, with the true stems.
        estimates: likewise, with the separated stems.
        name: of the song.
        task: with the track and the metrics.

    Returns:
        The contents of scores.json, and the official score of each stem and of the song.

    Raises:
        EvaluationError: a stem is missing or damaged, or formats differ.
    """
    official, *further = metrics.ready([metrics.OFFICIAL, *task.metrics])
    stems = songs.STEMS[task.track]
    (reference,) = songs.find_songs(references, task.track)
    (estimate,) = songs.find_songs(estimates, task.track)
    score = score_song(reference, estimate, stems, further)
    score = dataclasses.replace(score, name=name)
    summary = summarise([score], task.track)
    text = report_json.json_text(report_json.contents(summary, official, further=further))
    return text, _values(score)


def _values(score: SongScore) -> dict[str, float | None]:
    """The official scores in dB, by stem, and of the song."""
    return {**score.stems_db, "mean": score.mean_db}
