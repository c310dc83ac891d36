"""Inspects ONNX models: checks that they only contain known operations, and reads tensors.

A model may refer to data in other files and to operations from a library. Opening it would then do
more than read the file. The file is a protocol buffer. Only the messages that can contain such
references are parsed, which needs no package.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from demixing.errors import CheckpointError
from demixing.weights import protobuf
from demixing.weights.file_view import FileView
from demixing.weights.protobuf import Part
from demixing.weights.weight_file import WeightFile

PARTS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "tensor": {},
}
"""Message types, and their fields that contain messages. Source: onnx.proto of ONNX 1.17."""

NODE_DOMAIN = 7
MODEL_GRAPH, GRAPH_TENSOR = 7, 5
TENSOR_DIMENSION, TENSOR_TYPE, TENSOR_NAME, TENSOR_RAW = 1, 2, 8, 9
TENSOR_EXTERNAL_DATA, TENSOR_DATA_LOCATION = 13, 14
FLOAT = 1
"""Field numbers, and the number of a type; same source."""

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
"""Domains of standard operations; all others come from libraries."""

DEPTH_LIMIT = 6
"""Maximum nesting of graphs; real models have two or three levels. The time that ONNX Runtime needs
doubles with each."""

MOST_NODES = 20_000
"""Real models have some thousand."""

MOST_DIMENSIONS = 16

MOST_FIELDS = 300_000
"""Parts of all messages; real models have some ten thousand."""


def check(file: WeightFile) -> None:
    """Check a model in a file.

    Raises:
        CheckpointError: it has external data or library operations, is larger or more nested than
            models are, or is damaged.
    """
    _check(FileView.of(file), file.path)


def checked(data: bytes, path: Path) -> bytes:
    """Return a model that was read from a file, after the same checks."""
    _check(memoryview(data), path)
    return data


def _check(model: Part, path: Path) -> None:
    left = MOST_FIELDS
    nodes = 0
    waiting = [("model", model, 0)]
    while waiting:
        kind, message, depth = waiting.pop()
        if depth > DEPTH_LIMIT:
            raise CheckpointError(f"the model {path} has graphs that are nested too deeply")
        try:
            for number, value in protobuf.fields(message):
                left -= 1
                if left < 0 or nodes > MOST_NODES:
                    raise CheckpointError(f"the model {path} has too many parts")
                _check_field(path, kind, number, value)
                part = PARTS[kind].get(number)
                if part and not isinstance(value, int):
                    nodes += part == "node"
                    waiting.append((part, value, depth + (part == "graph")))
        except (ValueError, IndexError) as error:
            raise CheckpointError(
                f"expected an ONNX model at {path}, got another file or a part"
            ) from error


def _check_field(path: Path, kind: str, number: int, value: Part | int) -> None:
    """Raise if a field refers to anything outside the file."""
    if kind == "tensor" and number in (TENSOR_EXTERNAL_DATA, TENSOR_DATA_LOCATION) and value:
        raise CheckpointError(
            f"the model {path} keeps numbers in other files, so it was not opened"
        )
    if kind == "node" and number == NODE_DOMAIN and _text(value) not in DOMAINS:
        raise CheckpointError(
            f"the model {path} uses operations of {_text(value)[:60]!r}, so it was not opened"
        )


def graph(file: WeightFile) -> Part:
    """Find the graph of a model, after :func:`check`.

    Raises:
        CheckpointError: the model is refused.
        StopIteration: there is none.
    """
    check(file)
    return next(messages(FileView.of(file), MODEL_GRAPH))


def floats(message: Part) -> dict[str, Tensor]:
    """Read the float tensors of a graph, by name.

    Raises:
        ValueError: a tensor is damaged, or its values are not stored as raw bytes.
    """
    found = {}
    for tensor in messages(message, GRAPH_TENSOR):
        fields = list(protobuf.fields(tensor))
        if dict(fields).get(TENSOR_TYPE) == FLOAT:
            dimensions = (value for number, value in fields if number == TENSOR_DIMENSION)
            shape = [value if isinstance(value, int) else -1 for value in dimensions]
            if len(shape) > MOST_DIMENSIONS:
                raise ValueError("a tensor has too many dimensions")
            ((name,),) = texts(tensor, TENSOR_NAME)
            (raw,) = messages(tensor, TENSOR_RAW)
            found[name] = _numbers(raw, shape)
    return found


def _numbers(raw: Part, shape: list[int]) -> Tensor:
    """Read the numbers of a tensor."""
    if min(shape, default=0) < 0 or 4 * math.prod(shape) != len(raw):
        raise ValueError("a tensor has another number of values than its shape")
    numbers = np.empty(len(raw), dtype=np.uint8)
    if isinstance(raw, FileView):
        raw.fill(numbers.data)
    else:
        numbers[:] = raw
    return torch.from_numpy(numbers.view("<f4").reshape(shape))


def messages(message: Part, field: int) -> Iterator[Part]:
    """Yield all values of one field that are messages or strings."""
    for number, value in protobuf.fields(message):
        if number == field and not isinstance(value, int):
            yield value


def texts(message: Part, *fields: int) -> list[list[str]]:
    """Read all values of some fields as strings, a list for each field."""
    found: dict[int, list[str]] = {field: [] for field in fields}
    for number, value in protobuf.fields(message):
        if number in found and isinstance(value, memoryview):
            found[number].append(bytes(value).decode())
    return list(found.values())


def _text(value: Part | int) -> str:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, memoryview) else "?"
