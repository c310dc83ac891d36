"""Model cards of exported weights: network, training data, licence, scores and options."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SCORED = (
    "These weights had the best score of several validations on these songs, so the scores are "
    "optimistic. Global SDR in dB (delta 1e-7), without silent stems; mean over folders of the "
    "means over their songs:"
)
UNSCORED = "These weights have no scores, because the training had no songs for validation."


def card(
    name: str,
    runs: Sequence[Mapping[str, Any]],
    best: Mapping[str, Any],
    steps: Sequence[int],
    entry: Mapping[str, Any],
) -> str:
    """Write the card as Markdown.

    Args:
        name: name of the weights.
        runs: options of the runs.
        best: scores in dB, by stem and by song and stem; neither without songs for validation.
        steps: number of steps of each run.
        entry: entry in the catalogue.
    """
    stems = list(runs[0]["stems"])
    lines = [
        f"# {name}",
        "",
        runs[0]["summary"] or "A separator.",
        "",
        *_facts(runs, steps, entry),
        "",
        *(_scores(stems, best) if "scores" in best else [UNSCORED]),
        "",
        *(line for one in runs for line in _options(one)),
    ]
    return "\n".join(lines)


def _facts(
    runs: Sequence[Mapping[str, Any]], steps: Sequence[int], entry: Mapping[str, Any]
) -> list[str]:
    """List what the weights are, how they were trained, and their licence."""
    how = runs[0]
    starts = [Path(one["network"]["start"]).name or "random weights" for one in runs]
    return [
        (
            f"- network: `demixing/networks/trainable/{how['network']['name']}.py`, options "
            f"`{json.dumps(how['network']['options'])}`, {', '.join(how['stems'])} at "
            f"{how['sample_rate_hz']} Hz"
        ),
        *(
            f"- started from {starts[number]}, {steps[number]} steps of {one['batch']} examples of "
            f"{one['samples'] / one['sample_rate_hz']:.1f} s, average of the weights"
            for number, one in enumerate(runs)
        ),
        *(["- the average of these weights"] if len(runs) > 1 else []),
        f"- training data: {'; '.join(entry['trained_on'])}",
        f"- licence: {entry['licence']}",
        f"- sha256: `{entry['sha256']}`, {entry['size_bytes'] / 1e6:.1f} MB",
    ]


def _scores(stems: Sequence[str], best: Mapping[str, Any]) -> list[str]:
    """What the scores are, and two tables: by stem, and by song and stem."""
    return [
        SCORED,
        "",
        "| stem | SDR |",
        "|---|---|",
        *(f"| {stem} | {best['stems'].get(stem, float('nan')):.3f} |" for stem in stems),
        "",
        f"| song | {' | '.join(stems)} |",
        f"|---|{'---|' * len(stems)}",
        *(
            f"| {song} | {' | '.join(_cell(scores.get(stem)) for stem in stems)} |"
            for song, scores in best["scores"].items()
        ),
    ]


def _options(how: Mapping[str, Any]) -> list[str]:
    """The options of one run, as JSON."""
    options = json.dumps(_without_paths(how), indent=1, ensure_ascii=False)
    return ["A run:", "", "```json", options, "```", ""]


def _cell(value: float | None) -> str:
    """A score in dB, or a dash for a silent stem."""
    return "-" if value is None else f"{value:.2f}"


def _without_paths(how: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run with names of folders instead of paths."""
    data = dict(how["data"])
    for key in ("train", "valid"):
        data[key] = [Path(folder).name for folder in data[key]]
    start = Path(how["network"]["start"]).name
    return {**how, "data": data, "network": {**how["network"], "start": start}}
