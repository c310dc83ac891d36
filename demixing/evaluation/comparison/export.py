"""A comparison as JSON for programs and as CSV for spreadsheets."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict

from demixing.evaluation.comparison import bootstrap, power
from demixing.evaluation.comparison.results import Comparison, Difference, Quiet, Versus
from demixing.evaluation.comparison.verdict import label, sentences

HEADER = [
    *("system", "from", "column", "mean_from", "mean", "difference", "low", "high"),
    *("p", "p_holm", "better", "worse", "units", "songs", "smallest"),
]


def json_text(comparison: Comparison) -> str:
    """All figures as one JSON object; null where there is none."""
    paired = comparison.paired
    report = {
        "metric": asdict(paired.systems[0].metric),
        "track": paired.systems[0].track,
        "unit": comparison.unit,
        "confidence": bootstrap.LEVEL,
        "resamples": bootstrap.RESAMPLES,
        "significance": power.SIGNIFICANCE,
        "power": power.POWER,
        "songs": [
            {"name": name, "artist": artist or None}
            for name, artist in zip(paired.songs, paired.artists, strict=True)
        ],
        "left_out": {name: list(map(label, having)) for name, having in paired.left_out.items()},
        "systems": [
            {
                "label": label(number),
                "name": system.name,
                "kind": system.kind,
                "official": means.official,
                **means.columns,
            }
            for number, (system, means) in enumerate(
                zip(paired.systems, comparison.means, strict=True)
            )
        ],
        "differences": [
            _versus(comparison, number, versus)
            for number, versus in enumerate(comparison.versus, 1)
        ],
    }
    return json.dumps(report, indent=2, allow_nan=False) + "\n"


def _versus(comparison: Comparison, number: int, versus: Versus) -> dict[str, object]:
    """One system against the first."""
    return {
        "system": label(number),
        "from": label(0),
        "columns": {name: _difference(one) for name, one in versus.columns.items()},
        "sentences": list(sentences(comparison, number)),
        "songs": [asdict(move) for move in versus.moves],
        "silent": _quiet(versus.quiet),
    }


def _difference(one: Difference | None) -> dict[str, object] | None:
    """A difference as plain values."""
    return None if one is None else asdict(one)


def _quiet(quiet: Quiet | None) -> dict[str, object] | None:
    """Differences at silent references as plain values."""
    if quiet is None:
        return None
    stems = {
        stem: {"mean": mean, "references": count} for stem, (mean, count) in quiet.stems.items()
    }
    return asdict(quiet) | {"stems": stems}


def csv_text(comparison: Comparison) -> str:
    """A row per system and column, in the format of RFC 4180; empty where there is no figure."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(HEADER)
    rows.writerows(_rows(comparison))
    return text.getvalue()


def _rows(comparison: Comparison) -> Iterator[list[str]]:
    """The rows of the CSV."""
    systems = comparison.paired.systems
    first = comparison.means[0]
    for system, means, versus in zip(
        systems[1:], comparison.means[1:], comparison.versus, strict=True
    ):
        for name, one in versus.columns.items():
            cells = [system.name, systems[0].name, name]
            cells += [_decimal(first.columns[name]), _decimal(means.columns[name])]
            yield cells + (_cells(one) if one else [""] * (len(HEADER) - len(cells)))


def _cells(one: Difference) -> list[str]:
    """The cells of a difference."""
    low, high = one.interval or (None, None)
    counts = [one.better, one.worse, one.units, one.songs]
    return [
        *map(_decimal, (one.mean, low, high, one.p, one.p_holm)),
        *map(str, counts),
        _decimal(one.smallest),
    ]


def _decimal(value: float | None) -> str:
    """A number for the CSV."""
    return "" if value is None else f"{value:z.6f}"
