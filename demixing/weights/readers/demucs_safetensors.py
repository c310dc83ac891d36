"""A safetensors file whose metadata name a class and its arguments, as Demucs 4.1 writes it.

Demucs itself imports and calls any class named in the metadata. Here, it must be in a fixed list.
"""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from demixing.errors import CheckpointError
from demixing.weights import tensor_file
from demixing.weights.readers import DEMUCS_CLASSES, Contents, arguments, tensors


def read(path: Path) -> Contents:
    """Read the tensors, the name of the class and its arguments.

    Raises:
        CheckpointError: the file is for another class, is damaged, or is quantised by DiffQ.
    """
    found = tensor_file.read(path)
    metadata = found.metadata
    name = metadata.get("klass", "")
    if name not in DEMUCS_CLASSES:
        raise CheckpointError(
            f"expected {path} to name one of {', '.join(DEMUCS_CLASSES)}, got {name[:60]!r}"
        )
    if "structure" in metadata:
        raise CheckpointError(f"{path} has quantised weights (DiffQ), which are not supported")
    positional, named = (
        json.loads(metadata.get(key, empty), object_hook=_fraction)
        for key, empty in (("args", "[]"), ("kwargs", "{}"))
    )
    return Contents(
        state=tensors(path, found.tensors),
        network=name,
        arguments=arguments(path, positional, named),
    )


def _fraction(value: dict[str, Any]) -> Any:
    """Read a fraction, which JSON does not support."""
    if value.get("_type") == "fraction":
        return Fraction(int(value["numerator"]), int(value["denominator"]))
    return value
