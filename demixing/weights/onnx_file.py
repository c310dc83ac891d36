"""Inspects ONNX models: checks that they only contain known operations, and reads tensors.

A model may refer to data in other files and to operations from a library. Opening it would then do
more than read the file. The file is a protocol buffer. Only the messages that can contain such
references are parsed, which needs no package.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from demixing.errors import CheckpointError
from demixing.weights import protobuf

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

DEPTH_LIMIT = 64
"""Maximum nesting of graphs; real models have two or three levels."""


def check(path: Path) -> None:
    """Raise if a model refers to anything outside its file.

    Raises:
        CheckpointError: it has external data or library operations, or is damaged.
    """
    try:
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"expected an ONNX model at {path}, but: {error.strerror}") from error
    waiting = [("model", data, 0)]
    while waiting:
        kind, message, depth = waiting.pop()
        try:
            fields = list(protobuf.fields(message))
        except (ValueError, IndexError) as error:
            raise CheckpointError(
                f"expected an ONNX model at {path}, got another file or a part"
            ) from error
        for number, value in fields:
            if (
                kind == "tensor"
                and number in (TENSOR_EXTERNAL_DATA, TENSOR_DATA_LOCATION)
                and value
            ):
                raise CheckpointError(
                    f"the model {path} keeps numbers in other files, so it was not opened"
                )
            if kind == "node" and number == NODE_DOMAIN and _text(value) not in DOMAINS:
                raise CheckpointError(
                    f"the model {path} uses operations of {_text(value)[:60]!r}, "
                    "so it was not opened"
                )
            part = PARTS[kind].get(number)
            if part and isinstance(value, memoryview):
                waiting.append((part, value, depth + 1))
        if depth > DEPTH_LIMIT:
            raise CheckpointError(f"the model {path} has graphs that are nested too deeply")


def graph(path: Path) -> memoryview:
    """Read the graph of a model that has passed :func:`check`.

    Raises:
        StopIteration: there is none.
    """
    return next(messages(memoryview(path.read_bytes()), MODEL_GRAPH))


def floats(message: memoryview) -> dict[str, Tensor]:
    """Read the float tensors of a graph, by name.

    Raises:
        ValueError: a tensor is damaged, or its values are not stored as raw bytes.
    """
    found = {}
    for tensor in messages(message, GRAPH_TENSOR):
        fields = list(protobuf.fields(tensor))
        if dict(fields).get(TENSOR_TYPE) == FLOAT:
            shape = [int(value) for number, value in fields if number == TENSOR_DIMENSION]
            (name,), (raw,) = texts(tensor, TENSOR_NAME), messages(tensor, TENSOR_RAW)
            found[name] = torch.from_numpy(np.frombuffer(raw, "<f4").reshape(shape).copy())
    return found


def messages(message: memoryview, field: int) -> Iterator[memoryview]:
    """Yield all values of one field that are messages or strings."""
    for number, value in protobuf.fields(message):
        if number == field and isinstance(value, memoryview):
            yield value


def texts(message: memoryview, field: int) -> list[str]:
    """Read all values of one field as strings."""
    return [bytes(value).decode() for value in messages(message, field)]


def _text(value: memoryview | int) -> str:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, memoryview) else "?"
