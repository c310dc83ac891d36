"""A torch file with tensors by name, bare or under one of the usual keys.

Bare are those of Demucs v2, Open-Unmix and KUIELab. Trainers save more beside the tensors, such as
the epoch or the optimiser; only the tensors are kept.
"""

from demixing.errors import CheckpointError
from demixing.weights.readers import Contents
from demixing.weights.safe_unpickling import Admit
from demixing.weights.torch_file import TorchFile, harmless
from demixing.weights.weight_file import WeightFile

KEYS = ("state_dict", "model_state_dict", "state")
"""Where trainers put the tensors: Music-Source-Separation-Training's files have any of them."""


def read(file: WeightFile, admit: Admit = harmless) -> Contents:
    """Read the tensors.

    Args:
        file: open.
        admit: returns the stand-in for a full name, or None to reject the file.

    Raises:
        CheckpointError: the file contains no tensors by name, or names a class or a function that
            is not admitted.
    """
    torch_file = TorchFile(file, admit)
    return Contents(state=torch_file.state(_unwrapped(file, torch_file.value)))


def _unwrapped(file: WeightFile, found: object) -> object:
    """The state dict in a trainer's file; anything else is returned as it is."""
    if not isinstance(found, dict):
        return found
    inner = [key for key in KEYS if isinstance(found.get(key), dict)]
    if len(inner) > 1:
        raise CheckpointError(
            f"expected {file.path} to contain tensors by name once, got {' and '.join(inner)}"
        )
    return found[inner[0]] if inner else found
