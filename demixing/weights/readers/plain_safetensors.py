"""A safetensors file with tensors by name, and no statement about the network."""

from demixing.errors import CheckpointError
from demixing.weights import tensor_file
from demixing.weights.readers import Contents, tensors
from demixing.weights.weight_file import WeightFile

OTHER_FORMATS = {"klass": "demucs_safetensors", "network": "safetensors"}
"""By key of the metadata: the format of a file that has it."""


def read(file: WeightFile) -> Contents:
    """Read the tensors; metadata are ignored.

    Raises:
        CheckpointError: the file is damaged, or of another of our formats.
    """
    found = tensor_file.read(file)
    for key, other in OTHER_FORMATS.items():
        if key in found.metadata:
            raise CheckpointError(
                f"expected {file.path} to contain tensors alone, but it is {other!r}"
            )
    return Contents(state=tensors(file, found.tensors))
