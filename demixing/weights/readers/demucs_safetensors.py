"""A safetensors file whose metadata name a class and its arguments, as Demucs 4.1 writes it.

Demucs itself imports and calls any class named in the metadata. Here, it must be in a fixed list.
"""

import json
from typing import Any

from demixing.errors import CheckpointError
from demixing.weights import tensor_file
from demixing.weights.bounds import fraction, shown
from demixing.weights.readers import DEMUCS_CLASSES, Contents, arguments, tensors
from demixing.weights.weight_file import WeightFile


def read(file: WeightFile) -> Contents:
    """Read the tensors, the name of the class and its arguments.

    Raises:
        CheckpointError: the file is for another class, is damaged, or is quantised by DiffQ.
    """
    found = tensor_file.read(file)
    metadata = found.metadata
    name = metadata.get("klass", "")
    if name not in DEMUCS_CLASSES:
        raise CheckpointError(
            f"expected {file.path} to name one of {', '.join(DEMUCS_CLASSES)}, got {shown(name)}"
        )
    if "structure" in metadata:
        raise CheckpointError(f"{file.path} has quantised weights (DiffQ), which are not supported")
    positional, named = (
        json.loads(metadata.get(key, empty), object_hook=_fraction)
        for key, empty in (("args", "[]"), ("kwargs", "{}"))
    )
    return Contents(
        state=tensors(file, found.tensors),
        network=name,
        arguments=arguments(file, positional, named),
    )


def _fraction(value: dict[str, Any]) -> Any:
    """Read a fraction, which JSON does not support."""
    if value.get("_type") == "fraction":
        return fraction(value["numerator"], value["denominator"])
    return value
