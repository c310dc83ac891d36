"""Finds, verifies and then safely reads weight files.

The catalogue models/checkpoints.toml has one table per file. A file is read only if its sha256
matches the table, through the descriptor that was verified, by one of
:mod:`demixing.weights.readers`, which accept only tensors and plain values. So two checks protect
against a tampered file. ONNX files also contain their network, as a graph of known operations:
:func:`session` and :func:`sessions` open them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from demixing.errors import CheckpointError
from demixing.weights import archives, converted, onnx_file, readers
from demixing.weights.catalogue import Checkpoint, find
from demixing.weights.readers import Contents
from demixing.weights.verification import verified

if TYPE_CHECKING:
    from demixing.weights.onnx_session import InferenceSession

__all__ = ["Checkpoint", "Contents", "contents", "fill", "find", "load", "session", "sessions"]

ONNX = "onnx"
"""Format of files that contain a network and its weights."""

ONNX_ARCHIVE = "onnx_archive"
"""Format of compressed tar archives of such files."""


def contents(checkpoint: Checkpoint, path: Path | None = None) -> Contents:
    """Verify and read one weight file.

    Args:
        checkpoint: what the file must be.
        path: of the file, if not :meth:`Checkpoint.path`. If there is no file at that path, its
            conversion by ``demixing import`` is read.

    Raises:
        CheckpointError: the file is missing, altered, or contains more than numbers.
    """
    if path is None:
        path = checkpoint.path()
        if not path.exists() and checkpoint.converted_path().exists():
            return converted.read(checkpoint)
    with verified(path, checkpoint) as file:
        return readers.read(checkpoint.format, file, checkpoint.part)


def load(checkpoint: Checkpoint, path: Path | None = None) -> dict[str, Tensor]:
    """Verify and read one weight file, and return only its state dict.

    Raises:
        CheckpointError: the file is missing, altered, or contains more than numbers.
    """
    return contents(checkpoint, path).state


def session(checkpoint: Checkpoint, path: Path | None = None) -> "InferenceSession":
    """Verify one ONNX file and open it.

    Args:
        checkpoint: what the file must be.
        path: of the file, if not :meth:`Checkpoint.path`.

    Raises:
        CheckpointError: the file is missing, altered, or not an ONNX model.
    """
    from demixing.weights import onnx_session  # ONNX Runtime takes a tenth of a second

    with verified(path or checkpoint.path(), checkpoint) as file:
        _expect(checkpoint, ONNX)
        return onnx_session.session(file)


def sessions(checkpoint: Checkpoint, path: Path | None = None) -> "dict[str, InferenceSession]":
    """Verify one archive of ONNX files and open them all.

    Args:
        checkpoint: what the archive must be.
        path: of the file, if not :meth:`Checkpoint.path`.

    Returns:
        The networks by file name, without folder and suffix.

    Raises:
        CheckpointError: the file is missing, altered, or not such an archive.
    """
    from demixing.weights import onnx_session

    opened = {}
    with verified(path or checkpoint.path(), checkpoint) as file:
        _expect(checkpoint, ONNX_ARCHIVE)
        expected = f"expected an archive of ONNX models at {file.path}"
        with readers.refusing(file.path, expected), archives.tarred(file) as members:
            for name, contents in members:
                if name.endswith(".onnx"):
                    model = onnx_file.checked(contents().read(), file.path)
                    opened[Path(name).stem] = onnx_session.of_model(model, file.path)
        if not opened:
            raise CheckpointError(f"{expected}, but it has none")
    return opened


def _expect(checkpoint: Checkpoint, expected: str) -> None:
    """Raise unless the catalogue's format of a file is the expected one."""
    if checkpoint.format != expected:
        raise CheckpointError(
            f"weights {checkpoint.name!r} have the format {checkpoint.format!r}, "
            f"expected {expected!r}"
        )


def fill(network: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load weights into a network, strictly, and prepare it for inference.

    Args:
        network: changed in place. A network on torch's meta device, which has no weights yet, takes
            over the tensors.
        state: weights by the network's key names. BatchNorm's step counters may be missing: only
            training needs them.
        name: of the weights, for the message.

    Raises:
        CheckpointError: keys are missing or unexpected, or a shape differs.
    """
    own = network.state_dict()
    optional = {key for key in own if key.endswith("num_batches_tracked")}
    missing = sorted(own.keys() - optional - state.keys())
    unknown = sorted(state.keys() - own.keys())
    shapes = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    if missing or unknown or shapes:
        raise CheckpointError(
            f"the weights {name!r} are for another network than {type(network).__name__}: "
            f"{len(missing)} keys missing {missing[:2]}, {len(unknown)} unknown {unknown[:2]}, "
            f"{len(shapes)} of another shape {shapes[:2]}"
        )
    ours = {key: value.to(own[key].dtype) for key, value in state.items()}
    meta = any(value.is_meta for value in own.values())
    # The base class's method: that of Demucs renames keys, and does not support assignment.
    nn.Module.load_state_dict(network, ours, strict=False, assign=meta)
    network.requires_grad_(requires_grad=False).eval()
