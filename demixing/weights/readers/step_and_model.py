"""A torch file with the training step and tensors by name, as ByteSep writes it."""

from demixing.errors import CheckpointError
from demixing.weights.bounds import shown
from demixing.weights.readers import Contents
from demixing.weights.torch_file import TorchFile
from demixing.weights.weight_file import WeightFile


def read(file: WeightFile) -> Contents:
    """Read the tensors.

    Raises:
        CheckpointError: the file contains anything except a step and tensors.
    """
    torch_file = TorchFile(file)
    found = torch_file.value
    if not isinstance(found, dict) or found.keys() != {"step", "model"}:
        raise CheckpointError(
            f"expected {file.path} to contain a step and a model, got {shown(found)}"
        )
    return Contents(state=torch_file.state(found["model"]))
