"""Converted weights: the contents of an official file in our format, with their provenance.

The format is safetensors. Its metadata identify the original file and contain the sha256 of the
tensors. That detects damage. It does not protect against tampering with both, and need not, because
nothing in such a file can run.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from demixing import atomic
from demixing.errors import CheckpointError
from demixing.weights import readers
from demixing.weights.catalogue import Checkpoint
from demixing.weights.readers import Contents
from demixing.weights.readers import safetensors as own
from demixing.weights.verification import LFS_POINTER, sha256, verified
from demixing.weights.weight_file import WeightFile

SOURCE, SOURCE_SHA256, TENSORS_SHA256 = "source_file", "source_sha256", "tensors_sha256"


def convert(checkpoint: Checkpoint, source: Path, target: Path) -> None:
    """Verify an official file and convert it to our format.

    Args:
        checkpoint: what the file must be.
        source: the official file.
        target: the file to write, atomically.

    Raises:
        CheckpointError: the file does not match the checkpoint, is an ONNX model, which needs no
            conversion, or cannot be written.
    """
    if checkpoint.format not in readers.names():
        raise CheckpointError(f"{checkpoint.name!r} contains its network and needs no conversion")
    with verified(source, checkpoint) as file:
        contents = readers.read(checkpoint.format, file, checkpoint.part)
        if checkpoint.config:
            contents = replace(contents, network=checkpoint.network, arguments=checkpoint.config)
        origin = {"url": checkpoint.url or checkpoint.archive, "licence": checkpoint.licence}
        write(contents, checkpoint.name, file, target, origin)


def write(
    contents: Contents, name: str, source: WeightFile, target: Path, origin: Mapping[str, str]
) -> None:
    """Write the contents of a file in our format.

    Args:
        contents: of the file.
        name: of the weights.
        source: the file that they were read from.
        target: the file to write, atomically.
        origin: more about where they come from.

    Raises:
        CheckpointError: it cannot be written.
    """
    provenance = {
        "name": name,
        SOURCE: source.path.name,
        SOURCE_SHA256: sha256(source),
        TENSORS_SHA256: digest(contents.state),
        **origin,
    }
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic.file(target) as unfinished:
            own.write(unfinished, contents, provenance)
    except OSError as error:
        raise CheckpointError(f"cannot write {target}: {error.strerror}") from error


def read(checkpoint: Checkpoint) -> Contents:
    """Read the converted weights of a checkpoint.

    Raises:
        CheckpointError: they were converted from a different file, or are damaged.
    """
    path = checkpoint.converted_path()
    again = f"run: demixing import {checkpoint.name} FILE"
    with readers.reading(path) as file:
        if file.start().read(len(LFS_POINTER)) == LFS_POINTER:
            raise CheckpointError(f"{path} is a Git-LFS pointer; run: git lfs pull, or {again}")
        contents, metadata = own.read_with_provenance(file)
    source_sha256 = metadata.get(SOURCE_SHA256, "")
    if metadata.get("name") != checkpoint.name or not source_sha256.startswith(checkpoint.sha256):
        raise CheckpointError(
            f"{path} was not converted from the registered {checkpoint.name!r}: expected "
            f"sha256 {checkpoint.sha256}, got {source_sha256 or 'none'}; {again}"
        )
    if digest(contents.state) != metadata.get(TENSORS_SHA256):
        raise CheckpointError(f"the numbers in {path} were altered since its import; {again}")
    return contents


def digest(state: dict[str, Tensor]) -> str:
    """Sha256 of the names, types, shapes and values of tensors."""
    result = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        result.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        result.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return result.hexdigest()
