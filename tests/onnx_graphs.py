"""ONNX models written by hand: the package onnx is not a dependency."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor


def field(number: int, value: bytes | int) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    result = b""
    while value > 127:
        result += bytes([value & 127 | 128])
        value >>= 7
    return result + bytes([value])


def tensor(name: str, value: Tensor) -> bytes:
    """Floats in the graph."""
    shape = b"".join(field(1, size) for size in value.shape)
    raw = value.contiguous().numpy().astype("<f4").tobytes()
    return field(5, shape + field(2, 1) + field(8, name.encode()) + field(9, raw))


def node(name: str, kind: str, inputs: list[str]) -> bytes:
    read = b"".join(field(1, one.encode()) for one in inputs)
    return field(1, read + field(2, b"y") + field(3, name.encode()) + field(4, kind.encode()))


def exported(state: Mapping[str, Tensor]) -> bytes:
    """HTDemucs' parameters as PyTorch exports them, and nothing else.

    Weights of linear layers are transposed, those of group norms and the layer scales get another
    dimension, the frequency embedding covers all bands; all of them lose their names. In one of the
    branches, cross attention is split into queries, and keys and values.
    """
    nodes, tensors = b"", b""
    numbers = iter(range(1000, 9999))

    def used(module: str, kind: str, value: Tensor, turn: str = "") -> None:
        nonlocal nodes, tensors
        key = f"onnx::{kind}_{next(numbers)}"
        scopes = re.sub(r"\.layers\.(\d+)\.(\d+)", r".layers.\1/layers.\1.\2", module)
        path = re.sub(r"\.(?=dconv|self_attn|cross_attn|linear|norm)", "/", scopes)
        path = re.sub(r"(dconv|crosstransformer)\.", r"\1/", path)
        nodes += node(f"/{path}/{kind}{turn}", kind, ["x", key])
        tensors += tensor(key, value)

    for key, value in state.items():
        module, _, last = key.rpartition(".")
        crossing = ".layers.1.cross_attn" in module or ".layers.3.cross_attn" in module
        if key == "freq_emb.embedding.weight":
            kept = "onnx::Expand_999"
            nodes += node("/Expand", "Expand", [kept, "shape"])
            tensors += tensor(kept, value.T[None, :, :, None] * 10)
        elif last == "in_proj_weight" and crossing:
            for index, part in enumerate(torch.tensor_split(value, [len(value) // 3])):
                used(module, "MatMul", part.T, "_1" * index)
        elif last == "in_proj_bias" and crossing:
            for index, part in enumerate(torch.tensor_split(value, [len(value) // 3])):
                used(module, "Add", part, "_1" * index)
        elif re.search(r"linear[12]\.weight$", key) or "self_attn.in_proj_weight" in key:
            used(module, "MatMul", value.T)
        elif re.search(r"dconv\.layers\.\d\.[14]\.|norm_out", key):
            used(module, "Mul" if last == "weight" else "Add", value[:, None])
        elif last == "scale" and "dconv" in module:
            used(module, "Mul", value[:, None])
        else:
            tensors += tensor(key, value)
    graph = nodes + field(2, b"main_graph") + tensors
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))


def small_exported() -> bytes:
    """A graph with one parameter of each of two kinds."""
    return exported(
        {"encoder.0.conv.weight": torch.ones(20, 20), "a.norm_out.bias": torch.ones(30)}
    )
