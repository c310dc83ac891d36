"""Exports trained weights for recipes.

Three files are written: NAME.safetensors, NAME.toml with the entry for the catalogue of weights,
and NAME.md, the model card with training data and scores.

If several runs of one network started from the same weights, or from each other's, their weights
are averaged, which often generalises better than each of them. Source: Wortsman et
al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time", ICML 2022.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demixing import atomic
from demixing.errors import CheckpointError, ConfigError, OutputError
from demixing.networks import trainable
from demixing.training import checkpoint, model_card, setup, validation
from demixing.training.checkpoint import STATE
from demixing.training.loop import BEST
from demixing.weights import catalogue, int8
from demixing.weights.catalogue import Checkpoint
from demixing.weights.entry_checks import checked
from demixing.weights.readers import Contents, safetensors
from demixing.weights.verification import sha256_of

NAME = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)
"""Names of weights: bare keys of TOML, and names of files on any system."""

LICENCE = "MIT"
"""Of weights that are trained here."""

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
    licence: str = "",
    bits: int = 16,
) -> Iterator[Path]:
    """Write the three files and yield their paths.

    Args:
        folders: folders of runs; the weights of several are averaged.
        name: name of the weights in recipes.
        to: folder of the three files.
        trained_on: training data, for the rules of leaderboards; if empty, names of folders, and
            what the weights that a run started from were trained on.
        licence: licence of the weights; if empty, MIT, and that of the weights that a run started
            from.
        bits: bits per weight on disk, 16 or 8.

    Raises:
        ConfigError: there is no such run, the name is invalid or that of other weights, the runs'
            networks differ, or the training data is not known.
        CheckpointError: the catalogue of weights cannot be read.
        OutputError: a file cannot be written.
    """
    _check_name(name, to)
    runs = [checkpoint.contents(folder / STATE)["run"] for folder in folders]
    data = list(trained_on) or _data_of(runs)
    bests = [_best(folder, run) for folder, run in zip(folders, runs, strict=True)]
    best, stored = _weights(folders, runs, bests, bits)
    steps = [one["step"] for one in bests]
    entry = {**_entry(name, runs[0], best, steps), "trained_on": data}
    entry["licence"] = licence or _licence_of(runs)
    _check_entry(name, entry)
    target = to / f"{name}.safetensors"
    try:
        to.mkdir(parents=True, exist_ok=True)
        entry |= _write(target, name, runs[0], stored, steps)
        ordered = {key: entry[key] for key in ENTRY_KEYS}
        atomic.write_text(target.with_suffix(".toml"), _table(name, ordered))
        text = model_card.card(name, runs, best, steps, ordered)
        atomic.write_text(target.with_suffix(".md"), text)
    except OSError as error:
        raise OutputError(f"cannot write {str(target)!r}: {error}") from error
    for suffix in (".safetensors", ".toml", ".md"):
        yield target.with_suffix(suffix)


def validated(folders: Sequence[Path]) -> bool:
    """Whether one of some runs has songs for validation, and so its export has scores."""
    return any((folder / BEST).is_file() for folder in folders)


def _check_name(name: str, to: Path) -> None:
    """Raise unless weights may have this name, before anything is written.

    An entry with the name of another would make the whole catalogue unreadable.

    Raises:
        ConfigError: it is invalid, or other weights have this name or file.
        CheckpointError: the catalogue of weights cannot be read.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(
            "expected --name of up to 100 letters without accents, digits and underscores, the "
            f"first no digit, got {name!r}"
        )
    target = to.resolve() / f"{name}.safetensors"
    if target.parent not in (catalogue.SHIPPED.resolve(), catalogue.weights_folder().resolve()):
        return  # entries are read in these folders only
    for known in catalogue.entries().values():
        earlier = known.folder == target.parent and target.with_suffix(".toml").is_file()
        file = known.fetched_path()
        if known.name == name and not earlier:
            raise ConfigError(f"expected a new --name, but there are other weights {name!r}")
        if known.name != name and file.parent.resolve() / file.name == target:
            raise ConfigError(
                f"expected a new --name, but {str(target)!r} is the file of {known.name!r}"
            )


def _check_entry(name: str, entry: Mapping[str, Any]) -> None:
    """Raise unless the catalogue will accept an entry, which lacks only size and checksum.

    Raises:
        ConfigError: it will not.
    """
    table = _table(name, {**entry, "sha256": "", "size_bytes": 1})
    try:
        table.encode()
        checked(Checkpoint, name, tomllib.loads(table)[name])
    except (ValueError, CheckpointError) as error:
        raise ConfigError(
            f"the catalogue of weights cannot contain this ({error}); shorten or change "
            "--trained-on or --licence"
        ) from error


def _best(folder: Path, run: Mapping[str, Any]) -> dict[str, Any]:
    """The weights of a run to export: the best of its validations, or the last without songs.

    Returns:
        The weights with their step, and with their scores if there are any.

    Raises:
        ConfigError: they are missing or damaged.
    """
    if run["data"]["valid"]:
        if not (folder / BEST).exists():
            if checkpoint.contents(folder / STATE)["progress"]["worse"]:
                raise ConfigError(
                    f"no validation of {str(folder)!r} had a score, because its training diverged; "
                    "train again, for example with a lower learning rate"
                )
            raise ConfigError(
                f"expected {BEST} in {str(folder)!r}, which the first validation writes, found "
                "none; train until then, or restore it from a backup"
            )
        return dict(checkpoint.contents(folder / BEST))
    state = checkpoint.contents(folder / STATE)
    return {"step": state["progress"]["step"], "network": state["average"]}


def _weights(
    folders: Sequence[Path],
    runs: Sequence[Mapping[str, Any]],
    bests: Sequence[Mapping[str, Any]],
    bits: int,
) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """The best weights of the runs with their scores, if any, and the tensors to store.

    Raises:
        ConfigError: the runs' networks differ.
    """
    best = bests[0] if len(bests) == 1 else averaged(folders, runs, bests)
    if bits == 8:
        stored = int8.quantised(best["network"])
        best = {**best, "network": int8.dequantised(stored)}
    else:
        stored = {key: narrowed(value) for key, value in best["network"].items()}
    with_songs = [one for one, run in zip(folders, runs, strict=True) if run["data"]["valid"]]
    if best is not bests[0] and with_songs:  # no run has validated these weights
        best = {**best, **scored(with_songs[0], best["network"])}
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
    """Names of the folders that runs were trained on, and of the data of their first weights.

    Raises:
        ConfigError: the data of weights that a run started from is not known.
    """
    names = [Path(folder).name for run in runs for folder in run["data"]["train"]]
    earlier = [name for start in _starts(runs) for name in _origin(start)[0]]
    return list(dict.fromkeys([*names, *earlier]))


def _licence_of(runs: Sequence[Mapping[str, Any]]) -> str:
    """MIT, and the licences of the weights that runs started from."""
    parts = [LICENCE]
    for start in _starts(runs):
        try:
            earlier = _origin(start)[1]
        except ConfigError:
            earlier = "unknown"
        if earlier != LICENCE:
            parts.append(f"of {Path(start).name}, from which it started: {earlier}")
    return "; ".join(parts)


def _starts(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The weights that runs started from, each once."""
    return [start for start in dict.fromkeys(run["network"]["start"] for run in runs) if start]


def _origin(start: str) -> tuple[Sequence[str], str]:
    """What the weights that a run started from were trained on, and their licence.

    Args:
        start: see :class:`demixing.training.config.Network`; not empty.

    Raises:
        ConfigError: it is not known.
    """
    try:
        if not start.endswith(".safetensors"):
            known = catalogue.find(start)
            return known.trained_on, known.licence
        path = Path(start)
        if (described := path.with_suffix(".toml")).exists():
            text = tomllib.loads(described.read_text(encoding="utf-8")).get(path.stem)
            table = checked(Checkpoint, path.stem, text)
            return table["trained_on"], table["licence"]
        entry = catalogue.entries().get(path.stem)
        if entry and entry.converted_path().resolve() == path.resolve():
            return entry.trained_on, entry.licence
        reason = f"{str(described)!r} does not exist"
    except (OSError, ValueError, CheckpointError) as error:
        reason = str(error)
    raise ConfigError(
        f"expected to know what {start!r}, from which the run started, was trained on, but "
        f"{reason}; give all training data with --trained-on"
    )


def averaged(
    folders: Sequence[Path], runs: Sequence[Mapping[str, Any]], bests: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Average the best weights of runs.

    Args:
        folders: folders of the runs.
        runs: options of the runs.
        bests: weights of each run.

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
    listed = ", ".join(f"{stem} {value:.2f}" for stem, value in best.get("stems", {}).items())
    scores = f"global SDR of songs for validation, measured: {listed}" if listed else "not measured"
    return {
        "network": f"trainable.{run['network']['name']}",
        "file": f"{name}.safetensors",
        "format": "safetensors",
        "code_licence": "MIT",
        "stems": list(run["stems"]),
        "sample_rate_hz": run["sample_rate_hz"],
        "source": f"trained here, {' and '.join(map(str, steps))} steps; see {name}.md",
        "published": scores,
    }


def _table(name: str, entry: Mapping[str, Any]) -> str:
    """The entry as TOML; texts, numbers and lists have the notation of JSON."""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    return "\n".join([f"[{name}]", *lines, ""])
