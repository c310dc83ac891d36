"""Finds estimates that are too loud or too quiet, or have inverted polarity.

A poor estimate is often quieter than its true stem, and no gain would fix that. So a gain counts as
wrong only if two things agree: the gains with which the estimates sum to the mixture, and the gain
that fits the estimate to its true stem.
"""

from collections.abc import Iterator

import numpy as np

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.file_gram import MIXTURE, TOTAL, FileGram, estimate, reference
from evaluator.preflight.graded import Graded
from evaluator.preflight.sound import Sound

CLEARLY = 1.5
"""Gains up to this, 3.5 dB, also occur in correct separations."""

CLEARLY_ALL = 1.25
"""The same for the sum of all stems, which is close to the mixture."""

ALIKE = 0.9
"""Smallest correlation of sum and mixture for which their gain is meaningful."""

OPPOSED = -0.3
"""Correlation with the true stem below which an estimate's polarity is inverted."""

EXPLAINED = 0.06
"""Largest share of the mixture's energy that the stems may leave unexplained: -12 dB."""

WORSE = 1.4
"""Factor by which the unexplained energy must grow without a gain for it to be meaningful."""

LARGEST = 30.0
"""Largest plausible gain, and inverse of the smallest."""

COUNTS = 1e-3
"""Smallest share of the mixture's energy that a stem must have."""


def find(graded: Graded) -> Iterator[Finding]:
    """Fit gains with which the stems sum to the mixture, and compare them with the true stems."""
    found: dict[str, list[str]] = {}
    for name, sound in graded.sounds.items():
        for stem, gain in wrong(sound).items():
            found.setdefault(stem, []).append(f"{name!r} ({_words(gain)})")
    for stem, songs in found.items():
        yield fault(
            f"level of {stem} in {listed(songs)}",
            "the score is not invariant to scale or polarity",
            "undo the normalisation of the input, and check how often chunks are added up",
        )


def wrong(sound: Sound) -> dict[str, float]:
    """Factors that would correct the stems, where clear."""
    gram = sound.gram
    common = 1.0
    if abs(gram.likeness(TOTAL, MIXTURE)) > ALIKE:
        common = gram.product(TOTAL, MIXTURE) / gram.energy(TOTAL)
    gains = _gains(gram, sound.stems)
    single = {
        stem: gain
        for stem, gain in gains.items()
        if not sound.files.references or _confirmed(gram, stem, gain)
    }
    for stem in sound.files.references:
        # A delay of one sample inverts high frequencies, which is not a fault of polarity.
        if gram.likeness(estimate(stem), reference(stem)) < OPPOSED and _in_time(sound, stem):
            single.setdefault(stem, -1.0)
    alike = all(1 / CLEARLY < gain / common < CLEARLY for gain in single.values())
    if not 1 / CLEARLY_ALL < common < CLEARLY_ALL and (alike or not single):
        return {"all stems": common}
    return single


def _in_time(sound: Sound, stem: str) -> bool:
    """Whether a stem correlates best with its true stem without a delay, in either polarity."""
    correlation = sound.correlations.get(stem)
    return correlation is not None and correlation.lag == 0


def _gains(gram: FileGram, stems: tuple[str, ...]) -> dict[str, float]:
    """Gains with which the stems sum to the mixture, where they are clearly wrong."""
    whole = gram.energy(MIXTURE)
    audible = [stem for stem in stems if gram.energy(estimate(stem)) > COUNTS * whole]
    if gram.silent(MIXTURE) or not audible:
        return {}
    names = [estimate(stem) for stem in audible]
    between = np.array([[gram.product(one, other) for other in names] for one in names])
    mixed = np.array([gram.product(name, MIXTURE) for name in names])

    def left(free: list[int]) -> tuple[float, list[float]]:
        """Unexplained energy, and the gains, if some stems have the best gains and the others 1."""
        gains = np.ones(len(names))
        fixed = [index for index in range(len(names)) if index not in free]
        target = mixed - between[:, fixed].sum(axis=1)
        # Estimates may be copies of each other, so the matrix may be singular, which lstsq accepts.
        matrix = between[np.ix_(free, free)]
        gains[free] = np.linalg.lstsq(matrix, target[free], rcond=1e-9)[0] if free else 0
        return float(whole - 2 * gains @ mixed + gains @ between @ gains), gains.tolist()

    everything = list(range(len(names)))
    rest, gains = left(everything)
    if rest > EXPLAINED * whole:
        return {}
    found = {}
    for index, (stem, gain) in enumerate(zip(audible, gains, strict=True)):
        size = abs(gain)
        if not 1 / LARGEST < size < LARGEST or (gain > 0 and 1 / CLEARLY < size < CLEARLY):
            continue
        without, _ = left([other for other in everything if other != index])
        if without > WORSE * max(rest, 1e-9 * whole):
            found[stem] = gain
    return found


def _confirmed(gram: FileGram, stem: str, gain: float) -> bool:
    """Whether the gain that fits a stem to its true stem agrees."""
    if gram.silent(reference(stem)):
        return False
    own = gram.product(estimate(stem), reference(stem)) / gram.energy(estimate(stem))
    if gain < 0:
        return own < 0
    return own > CLEARLY if gain > 1 else 0 < own < 1 / CLEARLY


def _words(gain: float) -> str:
    """Describe the error that a gain would correct."""
    if gain < 0:
        return (
            "inverted polarity"
            if 0.8 < -gain < 1.25
            else f"inverted polarity, times {-1 / gain:.2f}"
        )
    return f"times {1 / gain:.2f}"
