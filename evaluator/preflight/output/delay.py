"""Finds estimates that are a few samples late or early."""

from collections.abc import Iterator

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.delays import SUM, Correlation
from evaluator.preflight.graded import Graded
from evaluator.preflight.sound import Sound

ALL = "all stems"

BETTER = 0.005
"""Increase of the correlation with the true stem that undoing a delay must bring."""

BETTER_SUM = 0.02
"""The same for the sum of all stems and the mixture."""

VAGUE = 16
"""Samples by which the delay of a stem may differ from that of the sum."""

ALIKE = 0.2
"""Smallest correlation of two signals for which a delay is reported."""


def find(graded: Graded) -> Iterator[Finding]:
    """Find the lag of the best correlation with the true stems, and of the sum with the mixture."""
    found: dict[tuple[str, int], list[str]] = {}
    for name, sound in graded.sounds.items():
        for stem, lag in _lags(sound).items():
            found.setdefault((stem, lag), []).append(repr(name))
    for (stem, lag), songs in found.items():
        count = f"{abs(lag)} sample{'' if abs(lag) == 1 else 's'}"
        when = "late" if lag > 0 else "early"
        yield fault(
            f"{count} too {when}: {stem} of {listed(songs)}",
            "the score compares sample by sample, so even one costs decibels",
            "look for padding that is not removed, a filter's delay, or frames of an STFT "
            "that are not centred",
        )


def _lags(sound: Sound) -> dict[str, int]:
    """Non-zero delays in samples by stem, or of :data:`ALL` if the sum is delayed."""
    correlations = sound.correlations
    found = {}
    for stem in sound.files.references:
        lag = _lag(correlations.get(stem), BETTER)
        if lag:
            found[stem] = lag
    total = _lag(correlations.get(SUM), BETTER_SUM)
    near = [stem for stem, lag in found.items() if abs(lag - total) <= VAGUE]
    # One stem with strong high frequencies can dominate the sum.
    if not total or (sound.files.references and 2 * len(near) < len(sound.stems)):
        return found
    # A bass is nearly the same some samples later, so its own delay is not reliable.
    return {ALL: total} | {stem: lag for stem, lag in found.items() if stem not in near}


def _lag(correlation: Correlation | None, better: float) -> int:
    """The lag in samples at which two signals correlate clearly better than at 0; otherwise 0."""
    if correlation is None or correlation.best < ALIKE:
        return 0
    return correlation.lag if correlation.best > correlation.undelayed + better else 0
