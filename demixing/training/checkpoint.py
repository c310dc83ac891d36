"""Checkpoints: the complete state of a run, in one file that is whole or absent.

A run resumes from its checkpoint as if it had never stopped. Examples follow from their positions
(:mod:`demixing.training.examples`), so the number of steps is the state of the sampler as well.
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
"""Options that may change when a run resumes: they do not affect the result."""


@dataclass(slots=True, kw_only=True)
class RunState:
    """Progress of a run.

    Attributes:
        step: number of completed steps.
        best_db: best score of a validation in dB; None before the first validation.
        best_step: step of the best score.
        worse: number of validations since then.
        skipped: number of latest steps in a row without a finite loss and gradient.
    """

    step: int = 0
    best_db: float | None = None
    best_step: int = 0
    worse: int = 0
    skipped: int = 0


def write(path: Path, contents: dict[str, Any]) -> None:
    """Write a file with torch; it appears whole or not at all, even after a power failure.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with atomic.file(path, durable=True) as unfinished, unfinished.open("wb") as file:
            torch.save(contents, file)
    except OSError as error:
        raise OutputError(f"cannot write {str(path)!r}: {error}") from error


def save(
    path: Path,
    run: Run,
    progress: RunState,
    network: nn.Module,
    average: Average[ChunkGeometry],
    optimiser: torch.optim.Optimizer,
) -> None:
    """Write a checkpoint.

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
) -> RunState:
    """Load a checkpoint.

    Args:
        path: path of the file.
        run: current options; those that must not change are compared.
        network: gets the stored weights.
        average: gets the stored average.
        optimiser: gets the stored state.

    Raises:
        ConfigError: the file belongs to another run, or is damaged.
    """
    try:
        found = contents(path)
        _check_same(found["run"], _plain(as_table(run)), path)
        network.load_state_dict(found["network"])
        average.network.load_state_dict(found["average"])
        optimiser.load_state_dict(found["optimiser"])
        torch.set_rng_state(found["torch"])
        if torch.cuda.is_available() and "cuda" in found:
            for index, state in enumerate(found["cuda"][: torch.cuda.device_count()]):
                torch.cuda.set_rng_state(state, index)
        return RunState(**found["progress"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"expected the state of this run in {str(path)!r}, but: {error}; "
            "remove the folder to start again"
        ) from error


def contents(path: Path) -> Any:
    """Read a file of :func:`write`, without executing anything in it.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (EOFError, OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        # The machine may have stopped before the contents reached the disk.
        empty = path.is_file() and not path.stat().st_size
        raise ConfigError(
            f"expected {path.name} of a run in {str(path.parent)!r}, but "
            f"{'it is empty' if empty else f'it cannot be read: {error}'}; restore it from a "
            "backup, or remove the folder to start again"
        ) from error


def seed_all(seed: int) -> None:
    """Seed the generators of networks; examples have their own generators."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)


def _check_same(then: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    """Check that two runs compute the same result.

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
    """Convert tuples to lists, which is what a file returns.

    >>> _plain({"a": (1, {"b": ()})})
    {'a': [1, {'b': []}]}
    """
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
