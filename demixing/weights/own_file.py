"""A user's own file of weights, which no catalogue knows: its format is found out.

No hash can be checked, so safety rests on the readers alone: they build tensors and plain values
and nothing else, whatever is in the file.
"""

from pathlib import Path
from typing import Any

from demixing.errors import CheckpointError
from demixing.weights import readers, tensor_file
from demixing.weights.readers import Contents, safetensors

SUFFIX = ".safetensors"


def read(path: Path) -> Contents:
    """Read the tensors of a file, and its network and config, if ``demixing import`` wrote it.

    Args:
        path: of a safetensors file, or of a torch file with a state dict, alone or in one of the
            usual wrappings.

    Raises:
        CheckpointError: it is missing, damaged, or contains more than numbers.
    """
    _check(path)
    if path.suffix.lower() != SUFFIX:
        return _torch_file(path)
    if config(path)[1]:
        return readers.read("safetensors", path)
    with readers.refusing(path):
        found = tensor_file.read(path)
    return Contents(state=readers.tensors(path, found.tensors))


def config(path: Path) -> tuple[str, dict[str, Any]]:
    """Read the config that ``demixing import`` kept in a file, without the tensors.

    Returns:
        The name of the network, and the sections of its config; empty if the file has none.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    _check(path)
    if path.suffix.lower() != SUFFIX:
        return "", {}
    network, sections = "", {}
    with readers.refusing(path):
        metadata = tensor_file.metadata(path)
        if safetensors.NETWORK in metadata:
            network = metadata[safetensors.NETWORK]
            sections = safetensors.network_arguments(path, metadata)
    return network, sections


def _torch_file(path: Path) -> Contents:
    """Read a torch file, which may be a trainer's and then holds more than the network."""
    try:
        contents = readers.read("state_dict", path)
        if not any(key.startswith("model.") for key in contents.state):
            return contents
    except CheckpointError as error:
        try:
            return readers.read("lightning", path)
        except CheckpointError:
            raise error from None
    return readers.read("lightning", path)


def _check(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"expected a file of weights at {path}, there is none")
