"""Exports trained weights for recipes.

Three files are written: NAME.safetensors, NAME.toml with the entry for the catalogue of weights,
and NAME.md, the model card with training data and scores.

If several runs of one network started from the same weights, or from each other's, their weights
are averaged, which often generalises better than each of them. Source: Wortsman et
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
from demixing.training import checkpoint, model_card, setup, validation
from demixing.training.checkpoint import STATE
from demixing.training.loop import BEST
from demixing.weights import int8
from demixing.weights.readers import Contents, safetensors
from demixing.weights.verification import sha256_of

LEAST_HALF = 2e-3
"""A tensor whose values are all below this would lose digits in half precision: the smallest number
with all of its 11 bits is 6e-5."""

ENTRY_KEYS = (
    "network",
    "file",
    "format",
    "sha256",
    "size_bytes",
    "licence",
    "code_licence",
    "trained_on",
    "stems",
    "sample_rate_hz",
    "source",
    "published",
)
"""Keys of an entry of the catalogue, in their order."""


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
        folders: folders of runs; the weights of several are averaged.
        name: name of the weights in recipes.
        to: folder of the three files.
        trained_on: training data, for the rules of leaderboards; names of folders if empty.
        licence: licence of the weights.
        bits: bits per weight on disk, 16 or 8.

    Raises:
        ConfigError: there is no such run, the name is invalid, or the runs' networks differ.
        OutputError: a file cannot be written.
    """
    if not name.isidentifier():
        raise ConfigError(f"--name must be letters, digits and underscores, got {name!r}")
    runs = [checkpoint.contents(folder / STATE)["run"] for folder in folders]
    bests = [checkpoint.contents(folder / BEST) for folder in folders]
    best, stored = _weights(folders, runs, bests, bits)
    steps = [one["step"] for one in bests]
    target = to / f"{name}.safetensors"
    try:
        to.mkdir(parents=True, exist_ok=True)
        file = _write(target, name, runs[0], stored, steps)
        entry = {
            **_entry(name, runs[0], best, steps),
            **file,
            "licence": licence,
            "trained_on": list(trained_on) or _data_of(runs),
        }
        ordered = {key: entry[key] for key in ENTRY_KEYS}
        atomic.write_text(target.with_suffix(".toml"), _table(name, ordered))
        text = model_card.card(name, runs, best, steps, ordered)
        atomic.write_text(target.with_suffix(".md"), text)
    except OSError as error:
        raise OutputError(f"cannot write {str(target)!r}: {error}") from error
    for suffix in (".safetensors", ".toml", ".md"):
        yield target.with_suffix(suffix)


def _weights(
    folders: Sequence[Path],
    runs: Sequence[Mapping[str, Any]],
    bests: Sequence[Mapping[str, Any]],
    bits: int,
) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """The best weights of the runs with their scores, and the tensors to store.

    Raises:
        ConfigError: the runs' networks differ.
    """
    best = bests[0] if len(bests) == 1 else averaged(folders, runs, bests)
    if bits == 8:
        stored = int8.quantised(best["network"])
        best = {**best, "network": int8.dequantised(stored)}
    else:
        stored = {key: narrowed(value) for key, value in best["network"].items()}
    if best is not bests[0]:  # no run has validated these weights
        best = {**best, **scored(folders[0], best["network"])}
    return best, stored


def _write(
    target: Path, name: str, run: Mapping[str, Any], stored: dict[str, Tensor], steps: Sequence[int]
) -> dict[str, Any]:
    """Write the weights; returns checksum and size for the catalogue."""
    contents = Contents(
        state=stored,
        network=run["network"]["name"],
        arguments={"stems": run["stems"], **run["network"]["options"]},
    )
    provenance = {"name": name, "steps": " + ".join(map(str, steps))}
    with atomic.file(target) as unfinished:
        safetensors.write(unfinished, contents, provenance)
        return {"sha256": sha256_of(unfinished), "size_bytes": unfinished.stat().st_size}


def _data_of(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the folders that runs were trained on, without repetition."""
    names = [Path(folder).name for run in runs for folder in run["data"]["train"]]
    return list(dict.fromkeys(names))


def averaged(
    folders: Sequence[Path], runs: Sequence[Mapping[str, Any]], bests: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Average the best weights of runs.

    Args:
        folders: folders of the runs.
        runs: options of the runs.
        bests: contents of :data:`demixing.training.loop.BEST` of each run.

    Returns:
        The averaged weights, without scores.

    Raises:
        ConfigError: the runs' networks differ.
    """
    for folder, one in zip(folders, runs, strict=True):
        for key in ("name", "options"):
            if one["network"][key] != runs[0]["network"][key] or one["stems"] != runs[0]["stems"]:
                raise ConfigError(
                    f"expected runs with the same network and stems, but {str(folder)!r} differs "
                    f"from {str(folders[0])!r}; export it by itself"
                )
    states = [one["network"] for one in bests]
    return {
        "network": {
            key: torch.stack([one[key].float() for one in states]).mean(dim=0).to(value.dtype)
            for key, value in states[0].items()
        }
    }


def scored(folder: Path, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Score the tensors of a network on the songs for validation of a run, in dB."""
    run = setup.run_of(folder)
    network = trainable.build(run.network.name, run.stems, run.network.options)
    network.load_state_dict(state)
    scores = validation.score(network.eval(), setup.valid_songs(run), run.stems)
    return {"scores": scores.songs, "stems": scores.stems()}


def narrowed(value: Tensor) -> Tensor:
    """Convert a matrix ``(rows, ...)`` to half precision, if the loss is inaudible.

    Statistics and biases stay as they are: they are few, and may be large. So do matrices whose
    values are all tiny.
    """
    if value.dim() < 2 or not value.is_floating_point() or value.abs().max() < LEAST_HALF:
        return value.contiguous()
    half = value.half()
    return half if bool(torch.isfinite(half).all()) else value.contiguous()


def _entry(
    name: str, run: Mapping[str, Any], best: Mapping[str, Any], steps: Sequence[int]
) -> dict[str, Any]:
    """The part of the entry in the catalogue that follows from the run and its scores."""
    listed = ", ".join(f"{stem} {value:.2f}" for stem, value in best["stems"].items())
    return {
        "network": f"trainable.{run['network']['name']}",
        "file": f"{name}.safetensors",
        "format": "safetensors",
        "code_licence": "MIT",
        "stems": list(run["stems"]),
        "sample_rate_hz": run["sample_rate_hz"],
        "source": f"trained here, {' and '.join(map(str, steps))} steps; see {name}.md",
        "published": f"global SDR of songs for validation, measured: {listed}",
    }


def _table(name: str, entry: Mapping[str, Any]) -> str:
    """The entry as TOML; texts, numbers and lists have the notation of JSON."""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    return "\n".join([f"[{name}]", *lines, ""])
