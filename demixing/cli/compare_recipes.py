"""Scores a recipe in memory: no files, no time limit, no gates."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from demixing.cli import unlimited
from demixing.engine.demixer import Demixer
from demixing.evaluation import audio as files_of_audio
from demixing.evaluation import metrics
from demixing.evaluation.comparison.artists import named
from demixing.evaluation.comparison.scores import MetricInfo, Reference, SongScores, System
from demixing.evaluation.measuring import finite
from demixing.evaluation.metrics import Format, Metric
from demixing.evaluation.scoring import level_dbfs
from demixing.evaluation.song_files import normal
from demixing.evaluation.songs import Song
from demixing.recipes.recipe import Recipe
from demixing.training.fitting import truth

Audio = NDArray[np.float64]


def scored(
    name: str, recipe: Recipe, songs: Sequence[Song], *, metric: Metric, once: bool, seconds: float
) -> System:
    """Separate songs and score them.

    Args:
        name: of the system.
        recipe: separates.
        songs: with known stems.
        metric: scores.
        once: only each member's first setting.
        seconds: length of the beginning of each song that is separated.

    Raises:
        DemixError: a song cannot be read or separated.
    """
    demixer = unlimited.ready(recipe, once=once)
    return System(
        name=name,
        kind=", ".join(_kind(once=once, seconds=seconds)),
        track=recipe.track.name,
        metric=info(metric),
        songs={normal(song.name): _scores(demixer, song, metric, seconds) for song in songs},
    )


def _kind(*, once: bool, seconds: float) -> list[str]:
    """What was done, in a few words each."""
    words = ["recipe, run here"]
    words += ["without augmentation"] if once else []
    words += [f"first {seconds:g} s"] if seconds < math.inf else []
    return words


def info(metric: Metric) -> MetricInfo:
    """What must be known of a metric."""
    return MetricInfo(
        name=metric.name,
        id=metric.id,
        title=metric.title,
        definition=metric.definition,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
    )


def _scores(demixer: Demixer, song: Song, metric: Metric, seconds: float) -> SongScores:
    """Separate the beginning of a song and score it.

    A stem without a file is silent or unknown: see :mod:`demixing.training.fitting.truth`.
    """
    files = {stem: files_of_audio.read(path) for stem, path in song.stems.items()}
    rate_hz = next(rate_hz for _, rate_hz in files.values())
    parts = {
        stem: audio[: round(min(seconds * rate_hz, 1e12))] for stem, (audio, _) in files.items()
    }
    mixture = np.sum(list(parts.values()), axis=0)
    estimates = unlimited.separated(demixer, mixture, rate_hz)
    references = {
        stem: parts.get(stem, np.zeros_like(mixture)) for stem in truth.known(song, list(estimates))
    }
    values = _values(metric, references, estimates, rate_hz)
    return SongScores(
        stems={stem: values.get(stem) for stem in estimates},
        reference=_reference(song, references, rate_hz),
    )


def _values(
    metric: Metric,
    references: Mapping[str, Audio],
    estimates: Mapping[str, NDArray[np.float32]],
    rate_hz: int,
) -> dict[str, float | None]:
    """The value of each known stem; None if it is undefined.

    Some metrics need the mixture, the sum of all references. So if one is unknown, only the
    official metric, which scores each stem alone, is defined.
    """
    if metric.name != metrics.OFFICIAL and len(references) < len(estimates):
        return {}
    true_stems = np.stack(list(references.values())).astype(np.float32)
    stems = np.stack([estimates[stem] for stem in references])
    count, samples, channels = true_stems.shape
    meter = metric.meter(Format(count, channels, samples, rate_hz))
    for _ in range(meter.passes):
        meter.update(true_stems, stems)
        meter.end_pass()
    found = zip(references, meter.values()[metric.name], strict=True)
    return {stem: finite(value) for stem, value in found}


def _reference(song: Song, references: dict[str, Audio], rate_hz: int) -> Reference:
    """Describe the known true stems of a song."""
    samples, channels = next(iter(references.values())).shape
    return Reference(
        samples=samples,
        sample_rate_hz=rate_hz,
        channels=channels,
        levels_dbfs={
            stem: finite(level_dbfs(float(np.square(audio).mean())))
            for stem, audio in references.items()
        },
        artist=named(song.name) or str(song.folder.parent),
    )
