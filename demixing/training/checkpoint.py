"""All that a run needs to go on as if it had never stopped, in one file that is whole or absent.

Examples follow from their numbers (:mod:`demixing.training.examples`), so the number of steps is
the state of the sampler too.
"""

import dataclasses
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from demixing import atomic
from demixing.errors import ConfigError, OutputError
from demixing.networks.chunk_geometry import ChunkGeometry
from demixing.training.config import Run, as_table
from demixing.training.ema import Average

STATE = "state.pt"

MAY_CHANGE = {"steps", "workers", "save_every_steps", "validation", "summary"}
"""Options of a run that may differ when it goes on: they do not change what was computed."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        step: steps that were done.
        best_db: best score of a validation; None before the first.
        best_step: when that was.
        worse: validations since then.
        skipped: steps in a row whose loss or gradient was not finite.
    """

    step: int = 0
    best_db: float | None = None
    best_step: int = 0
    worse: int = 0
    skipped: int = 0


def write(path: Path, contents: dict[str, Any]) -> None:
    """Write a file with torch, so that it appears whole or not at all, even if power fails.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with atomic.file(path, durable=True) as unfinished, unfinished.open("wb") as file:
            torch.save(contents, file)
    except OSError as error:
        raise OutputError(f"cannot write {str(path)!r}: {error}") from error


def save(
    path: Path,
    run: Run,
    progress: Progress,
    network: nn.Module,
    average: Average[ChunkGeometry],
    optimiser: torch.optim.Optimizer,
) -> None:
    """Save a run.

    Raises:
        OutputError: the file cannot be written.
    """
    contents = {
        "run": _plain(as_table(run)),
        "progress": dataclasses.asdict(progress),
        "network": network.state_dict(),
        "average": average.network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        contents["cuda"] = torch.cuda.get_rng_state_all()
    write(path, contents)


def resume(
    path: Path,
    run: Run,
    network: nn.Module,
    average: Average[ChunkGeometry],
    optimiser: torch.optim.Optimizer,
) -> Progress:
    """Go on where a run was saved.

    Args:
        path: of the file.
        run: as it is now; what may not change is compared.
        network: filled in place, like the two that follow.
        average: of its weights.
        optimiser: of its weights.

    Raises:
        ConfigError: the file is of another run, or damaged.
    """
    try:
        found = contents(path)
        _check_same(found["run"], _plain(as_table(run)), path)
        network.load_state_dict(found["network"])
        average.network.load_state_dict(found["average"])
        optimiser.load_state_dict(found["optimiser"])
        torch.set_rng_state(found["torch"])
        if torch.cuda.is_available() and "cuda" in found:
            torch.cuda.set_rng_state_all(found["cuda"])
        return Progress(**found["progress"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"expected the state of this run in {str(path)!r}, but: {error}; "
            "remove the folder to begin anew"
        ) from error


def contents(path: Path) -> Any:
    """Read what :func:`write` has written; nothing in it is run.

    Raises:
        ConfigError: it is not there, or damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise ConfigError(
            f"expected {path.name} of a run in {str(path.parent)!r}: {error}"
        ) from error


def seed_all(seed: int) -> None:
    """Seed what networks draw from; examples have generators of their own."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)


def _check_same(then: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    """Raise unless two runs compute the same.

    Raises:
        ConfigError: they do not.
    """
    differ = sorted(key for key in now if key not in MAY_CHANGE and then.get(key) != now[key])
    if differ:
        raise ConfigError(
            f"the run in {str(path.parent)!r} has other values of {', '.join(differ)}; choose "
            "another --out, or remove it"
        )


def _plain(value: Any) -> Any:
    """Tuples as lists, tables as dicts, as they come back from the file.

    >>> _plain({"a": (1, {"b": ()})})
    {'a': [1, {'b': []}]}
    """
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
