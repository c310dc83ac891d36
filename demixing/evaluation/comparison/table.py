"""A comparison as a table for people, at most 100 columns wide for two systems."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from demixing.evaluation.comparison.power import LEAST
from demixing.evaluation.comparison.results import MEAN, Comparison, Difference, Move, Quiet
from demixing.evaluation.comparison.verdict import label, plural, sentences
from demixing.evaluation.report import heading
from demixing.printing import aligned, printable

MOVES = 3
"""Songs named in each direction."""

NAMES = 4
"""Songs named that are left out."""

WIDTH = 100
OFFICIAL = "sdr"
"""The metric of the leaderboards."""


def text(comparison: Comparison, notes: Iterable[str] = ()) -> str:
    """All that is known, in lines that end with a newline.

    Args:
        comparison: of all systems.
        notes: more sentences for the end.
    """
    return "".join(f"{line}\n" for line in _lines(comparison, notes))


def _lines(comparison: Comparison, notes: Iterable[str]) -> Iterator[str]:
    """The lines."""
    yield from _head(comparison)
    yield ""
    yield from aligned(list(_means(comparison)))
    for number in range(1, len(comparison.means)):
        yield ""
        yield from _versus(comparison, number)
    yield ""
    for note in (*_notes(comparison), *notes):
        yield from _wrapped(note)


def _head(comparison: Comparison) -> Iterator[str]:
    """What is compared."""
    paired = comparison.paired
    for number, system in enumerate(paired.systems):
        yield f"{label(number)}  {printable(system.name)} ({printable(system.kind)})"
    yield ""
    yield heading(paired.systems[0].metric)
    artists = f", {plural(len(set(paired.artists)), 'artist')}, each counting once"
    yield plural(len(paired.songs), "song") + (artists if comparison.per_artist else "")
    yield from _left_out(comparison)


def _wrapped(sentence: str) -> list[str]:
    """A sentence on lines that fit."""
    return textwrap.wrap(sentence, WIDTH, subsequent_indent="  ", break_long_words=False)


def _left_out(comparison: Comparison) -> Iterator[str]:
    """A line about songs that some systems lack."""
    left_out = comparison.paired.left_out
    if left_out:
        named = [
            f"{printable(name)} (only in {', '.join(map(label, having))})"
            for name, having in list(left_out.items())[:NAMES]
        ]
        more = len(left_out) - len(named)
        named += [f"{more} more"] if more else []
        yield from _wrapped(f"left out: {plural(len(left_out), 'song')}: {', '.join(named)}")


def _means(comparison: Comparison) -> Iterator[Sequence[str]]:
    """Rows of the means of all systems."""
    yield ["means", *(label(number) for number in range(len(comparison.means)))]
    yield [_official(comparison), *(_number(one.official) for one in comparison.means)]
    for name in (MEAN, *comparison.paired.stems):
        yield [name, *(_number(one.columns[name]) for one in comparison.means)]


def _versus(comparison: Comparison, number: int) -> Iterator[str]:
    """Lines about one system."""
    versus = comparison.versus[number - 1]
    titles = ["difference", "95 % interval", "p", "p (Holm)", "better", "detectable", "songs"]
    rows = [[f"{label(number)} - A", *titles]]
    rows += [[name, *_cells(one)] for name, one in versus.columns.items()]
    yield from aligned(rows)
    yield ""
    yield from sentences(comparison, number)
    yield from _moved(versus.moves)
    if versus.quiet:
        yield ""
        yield from _wrapped(f"{_quiet(versus.quiet)}; they count in `{_official(comparison)}` only")


def _moved(moves: Sequence[Move]) -> Iterator[str]:
    """The songs with the largest differences, up and down."""
    ups = [move for move in moves if move.mean > 0][:MOVES]
    downs = [move for move in moves if move.mean < 0][-MOVES:]
    if ups or downs:
        rows = [["moved most", MEAN, "stem that moved most"], *map(_move, (*ups, *downs))]
        yield ""
        yield from aligned(rows)


def _cells(one: Difference | None) -> list[str]:
    """The cells of a difference."""
    if one is None:
        return [*["-"] * 6, "0"]
    interval = f"[{one.interval[0]:+z.3f}, {one.interval[1]:+z.3f}]" if one.interval else "-"
    return [
        f"{one.mean:+z.3f}",
        interval,
        p_text(one.p),
        p_text(one.p_holm),
        f"{one.better}/{one.units}",
        _number(one.smallest),
        str(one.songs),
    ]


def p_text(p: float) -> str:
    """A p-value.

    >>> p_text(1.0), p_text(0.0625), p_text(0.0001)
    ('1', '0.062', '<0.001')
    """
    return "1" if p == 1 else "<0.001" if p < 0.001 else f"{p:.3f}"


def _number(value: float | None) -> str:
    """A number in the table."""
    return "-" if value is None else f"{value:z.3f}"


def _move(move: Move) -> list[str]:
    """The cells of a song that moved."""
    stem = max(move.stems, key=lambda one: abs(move.stems[one]))
    return [printable(move.song), f"{move.mean:+z.3f}", f"{stem} {move.stems[stem]:+z.3f}"]


def _quiet(quiet: Quiet) -> str:
    """The line about silent references."""
    stems = ", ".join(
        f"{stem} {mean:+z.3f} ({count})" for stem, (mean, count) in quiet.stems.items()
    )
    return (
        f"silent or nearly silent references, {quiet.references} in "
        f"{plural(quiet.songs, 'song')}: {quiet.mean:+z.3f}; by stem {stems}"
    )


def _notes(comparison: Comparison) -> Iterator[str]:
    """How to read the table."""
    unit, units = comparison.unit, f"{comparison.unit}s"
    yield f"{_official(comparison)}: all references; all other figures: active references only"
    yield f"mean: of the active stems of a song; better: in how many {units}"
    yield f"p: sign-flip test over {units}; Holm: corrected for testing several stems or systems"
    yield f"detectable: a difference that this number of {units} would show in 80 % of cases"
    if any(
        one and one.units < LEAST for versus in comparison.versus for one in versus.columns.values()
    ):
        yield f"fewer than {LEAST} {units} show no difference, even if their interval leaves out 0"
    if comparison.units == 1:
        yield f"one {unit} has no interval: resamples of it are all equal"
    if count := comparison.paired.undefined:
        yield f"not counted, because a system has no score there: {plural(count, 'reference')}"
    if any(one.official is None for one in comparison.means):
        row = _official(comparison)
        yield f"no `{row}`: references are unknown, or {_title(comparison)} undefined"


def _official(comparison: Comparison) -> str:
    """Name of the row with all references; only the leaderboards' metric has an official mean."""
    return "official" if comparison.paired.systems[0].metric.name == OFFICIAL else "everything"


def _title(comparison: Comparison) -> str:
    """The metric."""
    return comparison.paired.systems[0].metric.title
