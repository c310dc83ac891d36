"""Reads the torch files of Demucs v3 and v4: a class name, its arguments and tensors.

The class is never imported here; the network is built from its name and arguments elsewhere.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any

from demixing.errors import CheckpointError
from demixing.weights.readers import DEMUCS_CLASSES, Contents, arguments, tensors
from demixing.weights.unpickling import load_restricted

PARTS = {"klass", "args", "kwargs", "state"}
"""Required keys of such a file. It may have more, such as training settings."""


def read(path: Path) -> Contents:
    """Read the tensors, the name of the class and its arguments.

    Raises:
        CheckpointError: the file names an unknown class, or contains more than numbers, such as
            weights that are quantised by DiffQ, which are not supported.
    """
    # Each stand-in is a new empty class, so a file can neither run nor keep anything.
    stands_for: dict[Any, str] = {type("Named", (), {}): name for name in DEMUCS_CLASSES}
    found = load_restricted(path, [*stands_for.items(), (Fraction, "fractions.Fraction")])
    if not isinstance(found, dict) or not found.keys() >= PARTS:
        raise CheckpointError(
            f"expected {path} to contain {', '.join(sorted(PARTS))}, got "
            f"{sorted(map(str, found))[:4] if isinstance(found, dict) else type(found).__name__}"
        )
    name = stands_for.get(found["klass"]) if isinstance(found["klass"], type) else None
    if name is None:
        raise CheckpointError(f"expected {path} to name one of {', '.join(DEMUCS_CLASSES)}")
    return Contents(
        state=tensors(path, found["state"]),
        network=name,
        arguments=arguments(path, found["args"], found["kwargs"]),
    )
