"""A file with class, arguments and tensors, as Demucs v1 wrote it with torch before 1.6.

The whole file may be compressed with gzip.
"""

from demixing.errors import CheckpointError
from demixing.weights.readers import Contents, arguments
from demixing.weights.torch_file import TorchFile
from demixing.weights.weight_file import WeightFile

CLASSES = ("demucs.model.Demucs", "demucs.tasnet.ConvTasNet")
"""Classes that such files may name."""


def read(file: WeightFile) -> Contents:
    """Read the tensors, the name of the class and its arguments.

    Raises:
        CheckpointError: the file is for another class, or contains more than tensors.
    """
    torch_file = TorchFile(file, lambda name: name if name in CLASSES else None)
    found = torch_file.value
    match found:
        case (str(name), positional, named, state) if name in CLASSES:
            return Contents(
                state=torch_file.state(state),
                network=name,
                arguments=arguments(file, positional, named),
            )
    raise CheckpointError(
        f"expected {file.path} to contain a class of Demucs v1, its arguments and tensors, "
        f"got {type(found).__name__}"
    )
