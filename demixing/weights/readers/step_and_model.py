"""A torch file with the training step and tensors by name, as ByteSep writes it."""

from pathlib import Path

from demixing.errors import CheckpointError
from demixing.weights.readers import Contents, tensors
from demixing.weights.unpickling import load_restricted


def read(path: Path) -> Contents:
    """Read the tensors.

    Raises:
        CheckpointError: the file contains anything except a step and tensors.
    """
    found = load_restricted(path)
    if not isinstance(found, dict) or found.keys() != {"step", "model"}:
        raise CheckpointError(
            f"expected {path} to contain a step and a model, got "
            f"{sorted(map(str, found))[:3] if isinstance(found, dict) else type(found).__name__}"
        )
    return Contents(state=tensors(path, found["model"]))
