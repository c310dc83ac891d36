"""A user's own file of weights, which no catalogue knows: its format is found out.

No hash can be checked, so safety rests on the readers alone: they build tensors and plain values
and nothing else, whatever is in the file.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from demixing.errors import CheckpointError
from demixing.weights import readers, tensor_file
from demixing.weights.readers import Contents, safetensors, state_dict
from demixing.weights.safe_unpickling import Ignored
from demixing.weights.torch_file import harmless
from demixing.weights.weight_file import WeightFile

SUFFIX = ".safetensors"

OF_METRICS = {
    "numpy.dtype",
    "numpy.ndarray",
    *(
        f"numpy.{core}.multiarray.{name}"
        for core in ("core", "_core")  # NumPy 2 has moved it
        for name in ("scalar", "_reconstruct")
    ),
}
"""Names of NumPy's numbers and arrays: trainers save their metrics as such beside the network."""

OF_TRAINING = "torch.optim."
"""Start of the names of optimisers and schedulers. Music-Source-Separation-Training saves the whole
scheduler, with its optimiser, in place of a metric in ``last_*.ckpt``."""


def read(path: Path) -> Contents:
    """Read the tensors of a file, and its network and config, if ``demixing import`` wrote it.

    Args:
        path: of a safetensors file, or of a torch file with a state dict, alone or in one of the
            usual wrappings.

    Raises:
        CheckpointError: it is missing, damaged, or contains more than numbers.
    """
    with opened(path) as file:
        return read_open(file)


def read_open(file: WeightFile) -> Contents:
    """The same as :func:`read`, of an open file."""
    if file.path.suffix.lower() != SUFFIX:
        return _torch_file(file)
    if _config(file)[1]:
        return readers.read("safetensors", file)
    found = tensor_file.read(file)
    return Contents(state=readers.tensors(file, found.tensors))


def config(path: Path) -> tuple[str, dict[str, Any]]:
    """Read the config that ``demixing import`` kept in a file, without the tensors.

    Returns:
        The name of the network, and the sections of its config; empty if the file has none.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    with opened(path) as file:
        return _config(file) if path.suffix.lower() == SUFFIX else ("", {})


def _config(file: WeightFile) -> tuple[str, dict[str, Any]]:
    """The same as :func:`config`, of an open file."""
    metadata = tensor_file.metadata(file)
    if safetensors.NETWORK not in metadata:
        return "", {}
    return metadata[safetensors.NETWORK], safetensors.network_arguments(file, metadata)


def _torch_file(file: WeightFile) -> Contents:
    """Read a torch file, which may be a trainer's and then holds more than the network."""
    try:
        with readers.reading(file):
            contents = state_dict.read(file, _admitted)
        if not any(key.startswith("model.") for key in contents.state):
            return contents
    except CheckpointError as error:
        try:
            return readers.read("lightning", file)
        except CheckpointError:
            raise error from None
    return readers.read("lightning", file)


def _admitted(name: str) -> object:
    """Admit what trainers save as well, as objects that do nothing: no code is imported or run."""
    of_trainer = name in OF_METRICS or name.startswith(OF_TRAINING)
    return Ignored if of_trainer or name == "__builtin__.dict" else harmless(name)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[WeightFile]:
    """Open a file, and convert any error to one sentence."""
    if not path.is_file():
        raise CheckpointError(f"expected a file of weights at {path}, there is none")
    with readers.reading(path) as file:
        yield file
        file.check_unchanged()
