"""Our weight format, as ``demixing import`` writes it."""

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from demixing.errors import CheckpointError
from demixing.weights import int8, tensor_file
from demixing.weights.bounds import fraction
from demixing.weights.readers import Contents, arguments, tensors
from demixing.weights.weight_file import WeightFile

NETWORK, ARGUMENTS = "network", "arguments"
"""Metadata keys that belong to the contents; all others are provenance."""


def read(file: WeightFile) -> Contents:
    """Read the tensors, the name of the class and its arguments.

    Raises:
        CheckpointError: the file is damaged.
    """
    return read_with_provenance(file)[0]


def read_with_provenance(file: WeightFile) -> tuple[Contents, dict[str, str]]:
    """Read the contents and all metadata."""
    found = tensor_file.read(file)
    if NETWORK not in found.metadata:
        raise CheckpointError(f"expected {file.path} to be written by: demixing import")
    contents = Contents(
        state=tensors(file, int8.dequantised(found.tensors)),
        network=found.metadata.get(NETWORK, ""),
        arguments=network_arguments(file, found.metadata),
    )
    return contents, found.metadata


def network_arguments(file: WeightFile, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Read the arguments of the network from the metadata of a file.

    Raises:
        CheckpointError: they are not plain values by name.
    """
    named = json.loads(metadata.get(ARGUMENTS, "{}"), object_hook=_read_fraction)
    return arguments(file, (), named)


def write(path: Path, contents: Contents, provenance: dict[str, str]) -> None:
    """Write contents and their provenance; equal contents always give the same bytes.

    Raises:
        CheckpointError: it cannot be written.
    """
    metadata = provenance | {
        NETWORK: contents.network,
        ARGUMENTS: json.dumps(contents.arguments, default=_write_fraction, sort_keys=True),
    }
    try:
        tensor_file.write(path, contents.state, metadata)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror}") from error


def _write_fraction(value: Fraction) -> dict[str, str]:
    """Convert a fraction to JSON."""
    return {"fraction": str(value)}


def _read_fraction(value: dict[str, Any]) -> Any:
    """Inverse of :func:`_write_fraction`."""
    return fraction(value["fraction"]) if value.keys() == {"fraction"} else value
