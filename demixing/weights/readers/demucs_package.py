"""Reads the torch files of Demucs v3 and v4: a class name, its arguments and tensors.

The class is never imported here; the network is built from its name and arguments elsewhere.
"""

from demixing.errors import CheckpointError
from demixing.weights.bounds import fraction, shown
from demixing.weights.readers import DEMUCS_CLASSES, Contents, arguments
from demixing.weights.torch_file import TorchFile, harmless
from demixing.weights.weight_file import WeightFile

PARTS = {"klass", "args", "kwargs", "state"}
"""Required keys of such a file. It may have more, such as training settings."""


def read(file: WeightFile) -> Contents:
    """Read the tensors, the name of the class and its arguments.

    Raises:
        CheckpointError: the file names an unknown class, or contains more than numbers, such as
            weights that are quantised by DiffQ, which are not supported.
    """
    torch_file = TorchFile(file, _admit)
    found = torch_file.value
    if not isinstance(found, dict) or not found.keys() >= PARTS:
        raise CheckpointError(
            f"expected {file.path} to contain {', '.join(sorted(PARTS))}, got {shown(found)}"
        )
    name = found["klass"]
    if not isinstance(name, str) or name not in DEMUCS_CLASSES:
        raise CheckpointError(f"expected {file.path} to name one of {', '.join(DEMUCS_CLASSES)}")
    return Contents(
        state=torch_file.state(found["state"]),
        network=name,
        arguments=arguments(file, found["args"], found["kwargs"]),
    )


def _admit(name: str) -> object:
    """Return the stand-in for a name: a class is its own name."""
    if name == "fractions.Fraction":
        return fraction
    return name if name in DEMUCS_CLASSES else harmless(name)
