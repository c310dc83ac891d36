"""A torch file with tensors by name and nothing else: Demucs v2, Open-Unmix, KUIELab's mixer."""

from pathlib import Path

from demixing.weights.readers import Contents, tensors
from demixing.weights.unpickling import load_restricted


def read(path: Path) -> Contents:
    """Read the tensors.

    Raises:
        CheckpointError: the file contains anything except tensors.
    """
    return Contents(state=tensors(path, load_restricted(path)))
