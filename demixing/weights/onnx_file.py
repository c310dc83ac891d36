"""Looks into ONNX models: is there more than a graph of known operations, and which numbers?

A model may say that its numbers lie in other files, and may ask for operations of a library. Both
would make opening it do more than reading it. The file is a protocol buffer, of which only the
few messages that can hold such things are walked through; no package is needed for that.
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
"""Messages and the fields that hold other messages. Source: onnx.proto of ONNX 1.17."""

NODE_DOMAIN = 7
MODEL_GRAPH, GRAPH_TENSOR = 7, 5
TENSOR_DIMENSION, TENSOR_TYPE, TENSOR_NAME, TENSOR_RAW = 1, 2, 8, 9
TENSOR_EXTERNAL_DATA, TENSOR_DATA_LOCATION = 13, 14
FLOAT = 1
"""Numbers of fields and of a type; the same source."""

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
"""Where the operations of the standard live; all others come from libraries."""

DEPTH_LIMIT = 64
"""Of graphs in graphs; real models have two or three."""


def check(path: Path) -> None:
    """Raise if a model reaches out of its file.

    Raises:
        CheckpointError: it has external data or operations of a library, or is damaged.
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
                    f"the model {path} asks for operations of {_text(value)[:60]!r}, "
                    "so it was not opened"
                )
            part = PARTS[kind].get(number)
            if part and isinstance(value, memoryview):
                waiting.append((part, value, depth + 1))
        if depth > DEPTH_LIMIT:
            raise CheckpointError(f"the model {path} has graphs too deep in graphs")


def graph(path: Path) -> memoryview:
    """Read the graph of a model that :func:`check` has admitted.

    Raises:
        StopIteration: it has none.
    """
    return next(messages(memoryview(path.read_bytes()), MODEL_GRAPH))


def floats(message: memoryview) -> dict[str, Tensor]:
    """Read the tensors of floats of a graph by their names, and leave out the others.

    Raises:
        ValueError: a tensor is damaged, or keeps its numbers elsewhere than in its raw bytes.
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
    """Go through all values of one field that are messages or texts."""
    for number, value in protobuf.fields(message):
        if number == field and isinstance(value, memoryview):
            yield value


def texts(message: memoryview, field: int) -> list[str]:
    """Read all values of one field as texts."""
    return [bytes(value).decode() for value in messages(message, field)]


def _text(value: memoryview | int) -> str:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, memoryview) else "?"
