"""How well the intervals of ``demixing compare`` cover, and how often its test is right.

    python tools/simulate_intervals.py

Prints the tables of docs/comparing.md, in half a minute of one core. Differences of two systems are
drawn from three distributions with the mean 0, and the share of intervals that contain 0 is
counted:

    normal    the easy case
    heavy     Student's t with 3 degrees of freedom: a few songs move far
    skewed    exponential: songs move far in one direction only
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demixing.evaluation.comparison import bootstrap, power, sign_flip

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Array]

SONGS = (5, 10, 20, 50)
SONGS_OF_TESTS = (5, 6, 10, 15, 25, 50)
FLIPS = 1_999
BATCH = 250
DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "heavy": lambda rng, shape: rng.standard_t(3, shape),
    "skewed": lambda rng, shape: rng.exponential(1, shape) - 1,
}


def percentile(gains: Array, means: Array) -> tuple[Array, Array]:
    """Ends of plain percentile intervals.

    Args:
        gains: ``(trials, songs)``.
        means: sorted means of resamples, ``(trials, resamples)``.
    """
    return at(means, np.full(len(gains), 0.025)), at(means, np.full(len(gains), 0.975))


def bca(gains: Array, means: Array) -> tuple[Array, Array]:
    """Ends of bias-corrected and accelerated intervals; arguments as in :func:`percentile`."""
    normal = NormalDist()
    observed = gains.mean(axis=1, keepdims=True)
    below = np.clip((means < observed).mean(axis=1), 1e-4, 1 - 1e-4)
    bias = np.array([normal.inv_cdf(share) for share in below])
    offsets = gains - observed
    acceleration = (offsets**3).sum(axis=1) / (6 * (offsets**2).sum(axis=1) ** 1.5)
    ends = []
    for width in (normal.inv_cdf(0.025), normal.inv_cdf(0.975)):
        moved = bias + (bias + width) / (1 - acceleration * (bias + width))
        ends.append(at(means, np.array([normal.cdf(one) for one in moved])))
    return ends[0], ends[1]


def expanded(gains: Array, means: Array) -> tuple[Array, Array]:
    """Ends of the intervals that the command prints; arguments as in :func:`percentile`."""
    share = bootstrap.outer_share(gains.shape[1])
    return at(means, np.full(len(gains), share)), at(means, np.full(len(gains), 1 - share))


def students(gains: Array, _: Array) -> tuple[Array, Array]:
    """Ends of Student's intervals, without any resampling."""
    songs = gains.shape[1]
    half = stdtrit(songs - 1, 0.975) * gains.std(axis=1, ddof=1) / np.sqrt(songs)
    return gains.mean(axis=1) - half, gains.mean(axis=1) + half


METHODS = {"percentile": percentile, "BCa": bca, "expanded": expanded, "Student": students}


def at(means: Array, shares: Array) -> Array:
    """Quantiles of sorted rows, each at a share of its own, ``(trials,)``."""
    places = shares * (means.shape[1] - 1)
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, means.shape[1] - 1)
    rows = np.arange(len(means))
    part = places - below
    return np.asarray(means[rows, below] * (1 - part) + means[rows, above] * part)


def coverage(gains: Array) -> dict[str, float]:
    """Share of intervals that contain 0, by method.

    Args:
        gains: draws with the mean 0, ``(trials, songs)``.
    """
    inside = dict.fromkeys(METHODS, 0)
    for start in range(0, len(gains), BATCH):
        batch = gains[start : start + BATCH]
        means = np.sort([bootstrap.resampled_means(one) for one in batch], axis=1)
        for name, method in METHODS.items():
            low, high = method(batch, means)
            inside[name] += int(((low <= 0) & (high >= 0)).sum())
    return {name: count / len(gains) for name, count in inside.items()}


def found(gains: Array) -> float:
    """Share of tests with a p-value below 0.05; gains are ``(trials, songs)``."""
    return float(np.mean([sign_flip.p_value(one, FLIPS) < 0.05 for one in gains]))


def tables(trials: int) -> Iterator[str]:
    """Lines of both tables.

    Args:
        trials: simulated comparisons for each row.
    """
    rng = np.random.default_rng(20)
    yield f"95 % intervals that contain the true difference, {trials} simulated comparisons a row:"
    yield ""
    yield f"| differences | songs | {' | '.join(METHODS)} |"
    yield f"|---|---|{'---|' * len(METHODS)}"
    for name, draw in DISTRIBUTIONS.items():
        for songs in SONGS:
            shares = coverage(draw(rng, (trials, songs)))
            cells = " | ".join(f"{share:.1%}" for share in shares.values())
            yield f"| {name} | {songs} | {cells} |"
    yield ""
    yield f"Sign-flip tests with p below 0.05, {trials} simulated comparisons a cell:"
    yield ""
    titles = [f"{name}, no difference" for name in DISTRIBUTIONS]
    yield f"| songs | {' | '.join(titles)} | normal, detectable |"
    yield f"|---|{'---|' * (len(DISTRIBUTIONS) + 1)}"
    for songs in SONGS_OF_TESTS:
        rates = [f"{found(draw(rng, (trials, songs))):.1%}" for draw in DISTRIBUTIONS.values()]
        yield f"| {songs} | {' | '.join(rates)} | {usual_power(rng, trials, songs)} |"


def usual_power(rng: np.random.Generator, trials: int, songs: int) -> str:
    """How often the smallest difference of :mod:`power` is found among normal differences."""
    if songs < power.LEAST:
        return "-"
    unit = np.resize([-1.0, 1.0], songs)
    spread = unit.std(ddof=1)
    smallest = power.smallest_difference(unit / spread)
    assert smallest is not None
    return f"{found(smallest + rng.standard_normal((trials, songs))):.1%}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Simulate the intervals of `demixing compare`.")
    parser.add_argument("--trials", type=int, default=4_000, help="comparisons for each row")
    for line in tables(parser.parse_args().trials):
        print(line, flush=True)


if __name__ == "__main__":
    main()
