"""The differences of two systems -> sentences."""

from collections.abc import Iterator, Sequence

from demixing.evaluation.comparison.power import LEAST, SIGNIFICANCE
from demixing.evaluation.comparison.results import MEAN, Comparison, Difference, Versus

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def label(number: int) -> str:
    """The letter of a system.

    >>> label(0), label(27)
    ('A', 'B2')
    """
    turn, place = divmod(number, len(LETTERS))
    return LETTERS[place] + (str(turn + 1) if turn else "")


def sentences(comparison: Comparison, number: int) -> Iterator[str]:
    """What can be said of a system.

    Args:
        comparison: of all systems.
        number: of the system, from 1.
    """
    versus = comparison.versus[number - 1]
    other = label(number)
    if not versus.moves:
        yield "No active stem of these songs has a score in all systems: nothing can be compared."
        return
    if all(not any(move.stems.values()) for move in versus.moves):
        yield f"A and {other} have equal scores in all {counted(comparison, versus)}."
        return
    yield _of_mean(comparison, versus, other)
    yield _of_stems(comparison, versus, other)


def counted(comparison: Comparison, versus: Versus) -> str:
    """Number of units in the mean, in words."""
    mean = versus.columns[MEAN]
    return plural(mean.units if mean else 0, comparison.unit)


def plural(count: int, word: str) -> str:
    """A number of things.

    >>> plural(1, "song"), plural(2, "song")
    ('1 song', '2 songs')
    """
    return f"{count} {word}" + ("" if count == 1 else "s")


def _of_mean(comparison: Comparison, versus: Versus, other: str) -> str:
    """The sentence about the mean."""
    mean = versus.columns[MEAN]
    assert mean is not None
    if mean.p_holm <= SIGNIFICANCE:
        word = "better" if _better(comparison, mean) else "worse"
        unit = comparison.paired.systems[0].metric.unit
        return (
            f"In the mean, {other} is {word} than A by {abs(mean.mean):.3f} {unit}".rstrip() + "."
        )
    units = ("this " if mean.units == 1 else "these ") + plural(mean.units, comparison.unit)
    said = f"In the mean, no difference can be shown with {units}"
    if mean.units < LEAST:
        return f"{said}: at least {LEAST} are needed."
    return f"{said}."


def _of_stems(comparison: Comparison, versus: Versus, other: str) -> str:
    """The sentence about the stems."""
    shown = {
        stem: column
        for stem, column in versus.columns.items()
        if stem != MEAN and column and column.p_holm <= SIGNIFICANCE
    }
    if not shown:
        return "In no single stem can a difference be shown."
    parts = []
    for word, wanted in (("better", True), ("worse", False)):
        stems = [stem for stem, one in shown.items() if _better(comparison, one) is wanted]
        parts += [f"{word} in {listed(stems)}"] if stems else []
    return f"By stem, {other} is {' and '.join(parts)}."


def _better(comparison: Comparison, one: Difference) -> bool:
    """Whether a difference is an improvement."""
    return (one.mean > 0) is comparison.paired.systems[0].metric.higher_is_better


def listed(words: Sequence[str]) -> str:
    """Words as a list in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
