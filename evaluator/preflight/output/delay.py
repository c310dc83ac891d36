"""Estimates that come some samples too late or too early."""

from collections.abc import Iterator

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.delays import SUM, Correlation
from evaluator.preflight.graded import Graded
from evaluator.preflight.sound import Sound

ALL = "all stems"

BETTER = 0.005
"""How much better an estimate must fit to its true stem after a delay is undone, in correlation."""

BETTER_SUM = 0.02
"""The same for the sum of all stems and the mixture; one stem alone does not fit to that."""

VAGUE = 16
"""Samples by which the delays of single stems may miss that of their sum."""

ALIKE = 0.2
"""Correlation at which two sounds are alike enough to speak of a delay."""


def find(graded: Graded) -> Iterator[Finding]:
    """Ask at which delay estimates fit best to the true stems, and their sum to the mixture."""
    found: dict[tuple[str, int], list[str]] = {}
    for name, sound in graded.sounds.items():
        for stem, lag in _lags(sound).items():
            found.setdefault((stem, lag), []).append(repr(name))
    for (stem, lag), songs in found.items():
        count = f"{abs(lag)} sample{'' if abs(lag) == 1 else 's'}"
        when = "late" if lag > 0 else "early"
        yield fault(
            f"{count} too {when}: {stem} of {listed(songs)}",
            "the score compares sample by sample, so that even one costs decibels",
            "look for padding that is not cut off again, a filter's delay, or frames of an STFT "
            "that are not centred",
        )


def _lags(sound: Sound) -> dict[str, int]:
    """Delays by stem, of those that have one; of :data:`ALL` if the sum has one."""
    correlations = sound.correlations
    found = {}
    for stem in sound.files.references:
        lag = _lag(correlations.get(stem), BETTER)
        if lag:
            found[stem] = lag
    total = _lag(correlations.get(SUM), BETTER_SUM)
    near = [stem for stem, lag in found.items() if abs(lag - total) <= VAGUE]
    # One stem with many high frequencies can pull the sum with it.
    if not total or (sound.files.references and 2 * len(near) < len(sound.stems)):
        return found
    # A bass is much the same some samples later, so its own delay is not to be trusted.
    return {ALL: total} | {stem: lag for stem, lag in found.items() if stem not in near}


def _lag(correlation: Correlation | None, better: float) -> int:
    """The delay at which two sounds fit clearly better than without, or 0."""
    if correlation is None or correlation.best < ALIKE:
        return 0
    return correlation.lag if correlation.best > correlation.undelayed + better else 0
