"""Write what a run has learned as a file of weights that recipes can use.

Three files appear beside each other: NAME.safetensors, NAME.toml with its entry for the catalogue
of weights, and NAME.md, the card that says what it is, what it has heard and what it scores.

Of several runs of one network that began with the same weights, or with each other's, the weights
are averaged, which often understands unknown songs better than each of them. Source: Wortsman et
al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time", ICML 2022.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demixing import atomic
from demixing.errors import ConfigError, OutputError
from demixing.networks import trainable
from demixing.training import checkpoint, setup, validation
from demixing.training.checkpoint import STATE
from demixing.training.loop import BEST
from demixing.weights import int8
from demixing.weights.readers import Contents, safetensors
from demixing.weights.verification import sha256_of

LEAST_HALF = 2e-3
"""A tensor of smaller values than this would lose digits in half precision: the smallest number
with all of its 11 bits is 6e-5."""


def export(
    folders: Sequence[Path],
    name: str,
    to: Path,
    *,
    trained_on: Sequence[str] = (),
    licence: str = "MIT",
    bits: int = 16,
) -> Iterator[Path]:
    """Write the three files and yield their paths.

    Args:
        folders: of runs; the weights of several are averaged.
        name: of the weights in recipes.
        to: folder of the three files.
        trained_on: training data, for the rules of leaderboards; names of folders if empty.
        licence: of the weights.
        bits: of a weight on disk, 16 or 8.

    Raises:
        ConfigError: there is no such run, the name is invalid, or the runs' networks differ.
        OutputError: a file cannot be written.
    """
    if not name.isidentifier():
        raise ConfigError(f"--name must be letters, digits and underscores, got {name!r}")
    runs = [checkpoint.contents(folder / STATE)["run"] for folder in folders]
    bests = [checkpoint.contents(folder / BEST) for folder in folders]
    how = runs[0]
    best = bests[0] if len(bests) == 1 else averaged(folders, runs, bests)
    if bits == 8:
        stored = int8.quantised(best["network"])
        best = {**best, "network": int8.dequantised(stored)}
    else:
        stored = {key: narrowed(value) for key, value in best["network"].items()}
    if best is not bests[0]:  # no run has validated these weights
        best |= scored(folders[0], best["network"])
    contents = Contents(
        state=stored,
        network=how["network"]["name"],
        arguments={"stems": how["stems"], **how["network"]["options"]},
    )
    heard = [Path(folder).name for one in runs for folder in one["data"]["train"]]
    data = list(trained_on) or list(dict.fromkeys(heard))
    steps = [one["step"] for one in bests]
    target = to / f"{name}.safetensors"
    try:
        to.mkdir(parents=True, exist_ok=True)
        provenance = {"name": name, "steps": " + ".join(map(str, steps))}
        with atomic.file(target) as unfinished:
            safetensors.write(unfinished, contents, provenance)
            digest, size_bytes = sha256_of(unfinished), unfinished.stat().st_size
        entry = _entry(name, how, best, steps, digest, size_bytes, data, licence)
        atomic.write_text(target.with_suffix(".toml"), _table(name, entry))
        atomic.write_text(target.with_suffix(".md"), _card(name, runs, best, steps, entry))
    except OSError as error:
        raise OutputError(f"cannot write {str(target)!r}: {error}") from error
    for suffix in (".safetensors", ".toml", ".md"):
        yield target.with_suffix(suffix)


def averaged(
    folders: Sequence[Path], runs: Sequence[Mapping[str, Any]], bests: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Average the best weights of runs.

    Args:
        folders: of the runs.
        runs: their options.
        bests: what :data:`demixing.training.loop.BEST` holds of each.

    Raises:
        ConfigError: they are not of one network.
    """
    for folder, one in zip(folders, runs, strict=True):
        for key in ("name", "options"):
            if one["network"][key] != runs[0]["network"][key] or one["stems"] != runs[0]["stems"]:
                raise ConfigError(
                    f"expected runs of one network and its stems, but {str(folder)!r} is of "
                    f"another than {str(folders[0])!r}; export it by itself"
                )
    states = [one["network"] for one in bests]
    return {
        "network": {
            key: torch.stack([one[key].float() for one in states]).mean(dim=0).to(value.dtype)
            for key, value in states[0].items()
        }
    }


def scored(folder: Path, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Score weights on the songs of a run's validation, as the run itself does."""
    run = setup.run_of(folder)
    network = trainable.build(run.network.name, run.stems, run.network.options)
    network.load_state_dict(state)
    scores = validation.score(network.eval(), setup.valid_songs(run), run.stems)
    return {"scores": scores.songs, "stems": scores.stems()}


def narrowed(value: Tensor) -> Tensor:
    """Half precision for matrices, where it loses nothing that is heard.

    Statistics and biases are few, and may be large; so are weights that are tiny all over.
    """
    if value.dim() < 2 or not value.is_floating_point() or value.abs().max() < LEAST_HALF:
        return value.contiguous()
    half = value.half()
    return half if bool(torch.isfinite(half).all()) else value.contiguous()


def _entry(
    name: str,
    how: Mapping[str, Any],
    best: Mapping[str, Any],
    steps: Sequence[int],
    digest: str,
    size_bytes: int,
    trained_on: list[str],
    licence: str,
) -> dict[str, Any]:
    """The entry in the catalogue of weights."""
    said = ", ".join(f"{stem} {value:.2f}" for stem, value in best["stems"].items())
    return {
        "network": f"trainable.{how['network']['name']}",
        "file": f"{name}.safetensors",
        "format": "safetensors",
        "sha256": digest,
        "size_bytes": size_bytes,
        "licence": licence,
        "code_licence": "MIT",
        "trained_on": trained_on,
        "stems": list(how["stems"]),
        "sample_rate_hz": how["sample_rate_hz"],
        "source": f"trained here, {' and '.join(map(str, steps))} steps; see {name}.md",
        "published": f"global SDR of songs for validation, measured: {said}",
    }


def _table(name: str, entry: Mapping[str, Any]) -> str:
    """The entry as TOML; its texts, numbers and lists are written as in JSON."""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def _card(
    name: str,
    runs: Sequence[Mapping[str, Any]],
    best: Mapping[str, Any],
    steps: Sequence[int],
    entry: Mapping[str, Any],
) -> str:
    """What people should know of the weights."""
    how = runs[0]
    stems = list(how["stems"])
    begun = [Path(one["network"]["start"]).name or "random weights" for one in runs]
    rows = [f"| {stem} | {best['stems'].get(stem, float('nan')):.3f} |" for stem in stems]
    songs = [
        f"| {song} | {' | '.join(_cell(scores.get(stem)) for stem in stems)} |"
        for song, scores in best["scores"].items()
    ]
    lines = [
        f"# {name}",
        "",
        how["summary"] or "A separator.",
        "",
        (
            f"- network: `demixing/networks/trainable/{how['network']['name']}.py`, options "
            f"`{json.dumps(how['network']['options'])}`, {', '.join(stems)} at "
            f"{how['sample_rate_hz']} Hz"
        ),
        *(
            f"- begun with {begun[number]}, {steps[number]} steps of {one['batch']} examples of "
            f"{one['samples'] / one['sample_rate_hz']:.1f} s, average of the weights"
            for number, one in enumerate(runs)
        ),
        *(["- of these, the average"] if len(runs) > 1 else []),
        f"- heard: {'; '.join(entry['trained_on'])}",
        f"- licence: {entry['licence']}",
        f"- sha256: `{entry['sha256']}`, {entry['size_bytes'] / 1e6:.1f} MB",
        "",
        (
            "The best of several validations on these songs was kept, so their scores flatter it. "
            "Global SDR in dB (delta 1e-7), silent stems left out; the mean over folders of the "
            "means over their songs:"
        ),
        "",
        "| stem | SDR |",
        "|---|---|",
        *rows,
        "",
        f"| song | {' | '.join(stems)} |",
        f"|---|{'---|' * len(stems)}",
        *songs,
        "",
        *(
            line
            for one in runs
            for line in (
                "A run:",
                "",
                "```json",
                json.dumps(_without_paths(one), indent=1, ensure_ascii=False),
                "```",
                "",
            )
        ),
    ]
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    """A score, or a dash for a silent stem."""
    return "-" if value is None else f"{value:.2f}"


def _without_paths(how: Mapping[str, Any]) -> dict[str, Any]:
    """The run with names of folders in place of where they lay."""
    data = dict(how["data"])
    for key in ("train", "valid"):
        data[key] = [Path(folder).name for folder in data[key]]
    start = Path(how["network"]["start"]).name
    return {**how, "data": data, "network": {**how["network"], "start": start}}
