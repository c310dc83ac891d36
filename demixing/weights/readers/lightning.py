"""A checkpoint of PyTorch Lightning, as BandIt has it: only the weights of ``model`` are read.

Such a file has the state of a whole training: the network, losses, metrics, the optimiser, and
settings that may be objects of any class. Tensors and plain values are read; every other name in
the file stands for an object that does nothing, so no code is imported or run.
"""

from demixing.errors import CheckpointError
from demixing.weights.bounds import shown
from demixing.weights.readers import Contents
from demixing.weights.safe_unpickling import Ignored
from demixing.weights.torch_file import TorchFile
from demixing.weights.weight_file import WeightFile

PREFIX = "model."
"""Of the keys of the network; those of losses and metrics have others."""


def read(file: WeightFile) -> Contents:
    """Read the tensors of the network; their names are those within the network.

    Raises:
        CheckpointError: the file is not such a checkpoint.
    """
    torch_file = TorchFile(file, lambda _: Ignored)
    return Contents(state=torch_file.state(_of_network(file, torch_file.value)))


def _of_network(file: WeightFile, found: object) -> dict[str, object]:
    """Return what a checkpoint has for the network, by the network's own keys.

    Raises:
        CheckpointError: there is nothing.
    """
    state = found.get("state_dict") if isinstance(found, dict) else None
    ours = {
        key.removeprefix(PREFIX): value
        for key, value in (state.items() if isinstance(state, dict) else ())
        if isinstance(key, str) and key.startswith(PREFIX)
    }
    if not ours:
        raise CheckpointError(
            f"expected {file.path} to contain a state_dict with keys that begin with {PREFIX!r}, "
            f"got {shown(found)}"
        )
    return ours
