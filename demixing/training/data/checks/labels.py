"""Finds stems that sound like a class other than the one they are named after.

Every few seconds of a stem give a row of features (:mod:`demixing.training.data.checks.spectra`).
A logistic regression on the features and their squares learns from nine tenths of the songs how the
classes of this data set sound, and judges the remaining songs. A stem is suspicious if its rows
are, on average, more likely as another class by a margin that is rare for its own class. The
regression is then repeated without the suspicious stems, because wrong labels blur the classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from demixing.training.data.checks.spectra import FEATURES

LEAST_SONGS = 8
"""Least number of songs of a class; with fewer, the usual sound is unknown."""
LEAST_ROWS, MOST_ROWS = 2, 12
"""A stem with fewer rows is not judged; of one with more, evenly spaced rows are."""
FOLDS = 10
ROUNDS = 3
LEAST_MARGIN = 1.0
"""Nats: a row must be e times as likely as another class, in the geometric mean over rows."""
LEAST_Z = 3.0
"""Robust standard deviations from the median margin of the class."""
TAMED = 4.0
"""Features are clipped to this many robust deviations from the median, because of clicks."""
DECAY = 0.01
"""Weight of the squared weights, against a mean loss per row of at most ln(classes)."""

Stem = tuple[str, str]
"""Name of a song and name of a stem."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A stem that sounds like another class.

    Attributes:
        song: name of the song.
        stem: name of the stem, which is its class.
        like: the class that it sounds like.
        margin: mean log-likelihood of its rows as that class, minus that as its own, in nats.
        z: deviation of the margin from those of its class, in robust standard deviations.
        because: the feature that contributes most, and its deviation from the class.
    """

    song: str
    stem: str
    like: str
    margin: float
    z: float
    because: str


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows of all stems, one below the other.

    Attributes:
        stems: the stems to judge.
        rows: features in robust deviations of the data set, ``(rows, features)``.
        stem: index of the stem of each row, ``(rows,)``.
        label: index of the class of each stem, ``(stems,)``.
        fold: fold of each stem, ``(stems,)``; all stems of a song are in the same fold.
        classes: names.
    """

    stems: list[Stem]
    rows: NDArray[np.float64]
    stem: NDArray[np.int64]
    label: NDArray[np.int64]
    fold: NDArray[np.int64]
    classes: list[str]

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean of ``(rows, columns)`` over the rows of each stem, ``(stems, columns)``."""
        starts = np.searchsorted(self.stem, np.arange(len(self.stems)))
        counts = np.bincount(self.stem, minlength=len(self.stems))
        return np.add.reduceat(values, starts, axis=0) / counts[:, None]


def suspicions(rows: Mapping[Stem, Sequence[Sequence[float]]]) -> list[Suspicion]:
    """Judge all stems of a data set.

    Args:
        rows: features of each stem of each song, ``(blocks, features)``.

    Returns:
        The suspicious stems, the clearest first; empty if fewer than two classes have
        :data:`LEAST_SONGS` songs.
    """
    table = _table(rows)
    if table is None:
        return []
    suspicious: NDArray[np.bool_] = np.zeros(len(table.stems), bool)
    for _ in range(ROUNDS):
        scores, parts = _judged(table, ~suspicious)
        own = scores[np.arange(len(scores)), table.label]
        others = scores.copy()
        others[np.arange(len(scores)), table.label] = -np.inf
        margin = others.max(axis=1) - own
        z = _rarity(margin, table.label)
        again = (margin >= LEAST_MARGIN) & (z >= LEAST_Z)
        if (again == suspicious).all():
            break
        suspicious = again
    like = others.argmax(axis=1)
    return [
        Suspicion(
            *table.stems[number],
            like=table.classes[like[number]],
            margin=round(float(margin[number]), 2),
            z=round(float(z[number]), 1),
            because=_because(table, int(number), parts[number, :, like[number]]),
        )
        for number in sorted(np.flatnonzero(suspicious), key=lambda number: -margin[number])
    ]


def _table(rows: Mapping[Stem, Sequence[Sequence[float]]]) -> _Table | None:
    """Join the rows of all stems; None if there are too few songs."""
    enough = {key: found for key, found in sorted(rows.items()) if len(found) >= LEAST_ROWS}
    counts: dict[str, int] = {}
    for _, stem in enough:
        counts[stem] = counts.get(stem, 0) + 1
    classes = sorted(stem for stem, count in counts.items() if count >= LEAST_SONGS)
    if len(classes) < 2:
        return None
    stems = [key for key in enough if key[1] in classes]
    songs = sorted({song for song, _ in stems})
    blocks = [_thinned(np.array(enough[key], np.float64)) for key in stems]
    together = np.concatenate(blocks)
    centre = np.median(together, axis=0)
    spread = 1.4826 * np.median(np.abs(together - centre), axis=0) + 1e-6
    return _Table(
        stems=stems,
        rows=((together - centre) / spread).clip(-TAMED, TAMED),
        stem=np.repeat(np.arange(len(stems)), [len(block) for block in blocks]),
        label=np.array([classes.index(stem) for _, stem in stems]),
        fold=np.array([songs.index(song) % FOLDS for song, _ in stems]),
        classes=classes,
    )


def _thinned(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most :data:`MOST_ROWS` evenly spaced rows of ``(rows, features)``."""
    kept = np.unique(np.linspace(0, len(rows) - 1, MOST_ROWS).round().astype(int))
    thinned: NDArray[np.float64] = rows[kept]
    return thinned


def _judged(
    table: _Table, believed: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Learn from the stems whose labels are believed, and judge each stem by other songs.

    Args:
        table: rows of all stems.
        believed: whether a label is believed, ``(stems,)``.

    Returns:
        Mean log-likelihood of each stem as each class, ``(stems, classes)``; and the contribution
        of each feature to the difference between each class and the stem's own,
        ``(stems, features, classes)``.
    """
    count = len(table.classes)
    inputs = np.concatenate(
        [np.ones((len(table.rows), 1)), table.rows, (np.square(table.rows) - 1) / 3], axis=1
    )
    labels = table.label[table.stem]
    # Rows of one stem are alike, so a long stem counts more than a short one, but less than
    # proportionally.
    weight = (believed / np.sqrt(np.bincount(table.stem)))[table.stem]
    weight = weight / np.bincount(labels, weight, count)[labels] / count
    scores = np.zeros((len(table.stems), count))
    parts = np.zeros((len(table.stems), len(FEATURES), count))
    start = _fit(inputs, labels, weight, np.zeros((inputs.shape[1], count)))
    for fold in range(FOLDS):
        judged = table.fold == fold
        if not judged.any():
            continue
        within = judged[table.stem]
        factors = _fit(inputs[~within], labels[~within], weight[~within], start)
        likely = _log_softmax(inputs @ factors)
        scores[judged] = table.mean(likely)[judged]
        means = table.mean(inputs)[judged][:, 1:, None] * factors[None, 1:]
        added = means[:, : len(FEATURES)] + means[:, len(FEATURES) :]
        own = table.label[judged][:, None, None]
        parts[judged] = added - np.take_along_axis(added, own, axis=2)
    return scores, parts


def _fit(
    inputs: NDArray[np.float64],
    labels: NDArray[np.int64],
    weight: NDArray[np.float64],
    start: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Fit a multinomial logistic regression.

    Args:
        inputs: ``(rows, inputs)``.
        labels: index of the class of each row, ``(rows,)``.
        weight: weight of each row, ``(rows,)``.
        start: factors to start from, ``(inputs, classes)``.

    Returns:
        Factors, ``(inputs, classes)``.
    """
    wanted = np.eye(start.shape[1])[labels]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        factors = flat.reshape(start.shape)
        likely = _log_softmax(inputs @ factors)
        slope = inputs.T @ (weight[:, None] * (np.exp(likely) - wanted))
        slope[1:] += 2 * DECAY * factors[1:]
        value = -(weight[:, None] * wanted * likely).sum() + DECAY * np.square(factors[1:]).sum()
        return float(value), slope.ravel()

    found = scipy.optimize.minimize(
        loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200}
    )
    result: NDArray[np.float64] = found.x.reshape(start.shape)
    return result


def _log_softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the softmax over the last axis of ``(rows, classes)``."""
    values = values - values.max(axis=1, keepdims=True)
    totals: NDArray[np.float64] = np.log(np.exp(values).sum(axis=1, keepdims=True))
    return values - totals


def _rarity(margin: NDArray[np.float64], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Robust standard deviations of each margin, ``(stems,)``, from those of its class."""
    result = np.zeros(len(margin))
    for number in np.unique(label):
        values = margin[label == number]
        centre = np.median(values)
        spread = 1.4826 * np.median(np.abs(values - centre)) + 1e-6
        result[label == number] = (values - centre) / spread
    return result


def _because(table: _Table, number: int, parts: NDArray[np.float64]) -> str:
    """The feature that contributes most to another class, ``parts`` ``(features,)``, in words."""
    feature = int(parts.argmax())
    means = table.mean(table.rows)[:, feature]
    usual = means[table.label == table.label[number]]
    centre = np.median(usual)
    spread = 1.4826 * np.median(np.abs(usual - centre)) + 0.1
    deviation = (means[number] - centre) / spread
    name, described = list(FEATURES.items())[feature]
    return f"{name} ({described}) is {deviation:+.1f} deviations from its class"
