"""Estimates that are too loud, too quiet or upside down.

A poor estimate is often quieter than its true stem, and no gain would mend that. So a gain counts
as wrong if the mixture says so, as the sum of the stems with some gains, and the true stem too.
"""

from collections.abc import Iterator

import numpy as np

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.file_gram import MIXTURE, TOTAL, FileGram, estimate, reference
from evaluator.preflight.graded import Graded
from evaluator.preflight.sound import Sound

CLEARLY = 1.5
"""Gains up to here, 3.5 dB, are what honest separators differ by."""

CLEARLY_ALL = 1.25
"""The same for the sum of all stems, which is much like the mixture."""

ALIKE = 0.9
"""Correlation of sum and mixture from which their gain means something."""

OPPOSED = -0.3
"""Correlation with its true stem below which an estimate is upside down, whatever its level."""

EXPLAINED = 0.06
"""Share of the mixture that may be left if the stems with some gains are to explain it: -12 dB."""

WORSE = 1.4
"""A gain means something if without it so many times as much of the mixture is left."""

LARGEST = 30.0
"""Gains beyond this, or below one by it, come of stems that are not what they seem to be."""

COUNTS = 1e-3
"""Share of the mixture's energy that a stem must have."""


def find(graded: Graded) -> Iterator[Finding]:
    """Ask with which gains the stems would sum to the mixture, and fit to the true stems."""
    found: dict[str, list[str]] = {}
    for name, sound in graded.sounds.items():
        for stem, gain in wrong(sound).items():
            found.setdefault(stem, []).append(f"{name!r} ({_words(gain)})")
    for stem, songs in found.items():
        yield fault(
            f"level of {stem} in {listed(songs)}",
            "the score is not invariant to scale or polarity",
            "undo what normalised the input, and count how often chunks were added up",
        )


def wrong(sound: Sound) -> dict[str, float]:
    """By what stems would have to be multiplied, of those where it is clear."""
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
        # High sounds are upside down one sample later: that is a delay, and no polarity.
        if gram.likeness(estimate(stem), reference(stem)) < OPPOSED and _in_time(sound, stem):
            single.setdefault(stem, -1.0)
    alike = all(1 / CLEARLY < gain / common < CLEARLY for gain in single.values())
    if not 1 / CLEARLY_ALL < common < CLEARLY_ALL and (alike or not single):
        return {"all stems": common}
    return single


def _in_time(sound: Sound, stem: str) -> bool:
    """Whether a stem fits best to its true stem as it is, upside down or not."""
    correlation = sound.correlations.get(stem)
    return correlation is not None and correlation.lag == 0


def _gains(gram: FileGram, stems: tuple[str, ...]) -> dict[str, float]:
    """Gains with which the stems sum to the mixture, of those that are clearly wrong."""
    whole = gram.energy(MIXTURE)
    heard = [stem for stem in stems if gram.energy(estimate(stem)) > COUNTS * whole]
    if gram.silent(MIXTURE) or not heard:
        return {}
    names = [estimate(stem) for stem in heard]
    between = np.array([[gram.product(one, other) for other in names] for one in names])
    mixed = np.array([gram.product(name, MIXTURE) for name in names])

    def left(free: list[int]) -> tuple[float, list[float]]:
        """What is left of the mixture if some stems have the best gains and the others none."""
        gains = np.ones(len(names))
        fixed = [index for index in range(len(names)) if index not in free]
        target = mixed - between[:, fixed].sum(axis=1)
        # Estimates may be copies of each other, which no gains can tell apart: lstsq copes.
        matrix = between[np.ix_(free, free)]
        gains[free] = np.linalg.lstsq(matrix, target[free], rcond=1e-9)[0] if free else 0
        return float(whole - 2 * gains @ mixed + gains @ between @ gains), gains.tolist()

    everything = list(range(len(names)))
    rest, gains = left(everything)
    if rest > EXPLAINED * whole:
        return {}
    found = {}
    for index, (stem, gain) in enumerate(zip(heard, gains, strict=True)):
        size = abs(gain)
        if not 1 / LARGEST < size < LARGEST or (gain > 0 and 1 / CLEARLY < size < CLEARLY):
            continue
        without, _ = left([other for other in everything if other != index])
        if without > WORSE * max(rest, 1e-9 * whole):
            found[stem] = gain
    return found


def _confirmed(gram: FileGram, stem: str, gain: float) -> bool:
    """Whether the true stem asks for such a gain too."""
    if gram.silent(reference(stem)):
        return False
    own = gram.product(estimate(stem), reference(stem)) / gram.energy(estimate(stem))
    if gain < 0:
        return own < 0
    return own > CLEARLY if gain > 1 else 0 < own < 1 / CLEARLY


def _words(gain: float) -> str:
    """Say what is wrong, given what would mend it."""
    if gain < 0:
        return "upside down" if 0.8 < -gain < 1.25 else f"upside down, times {-1 / gain:.2f}"
    return f"times {1 / gain:.2f}"
