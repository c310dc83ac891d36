"""Files of weights: found, verified, and only then read, without running anything they contain.

The catalogue models/checkpoints.toml has one table per file. A file is opened only if it has the
sha256 of its table. It is then read by one of :mod:`demixing.weights.readers`, which admit only
tensors and plain values. So two checks refuse a file that was tampered with. ONNX files contain
their network, too, as a graph of known operations: :func:`session` and :func:`sessions` open them.
"""

import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from demixing.errors import CheckpointError
from demixing.weights import converted, readers
from demixing.weights.catalogue import Checkpoint, find
from demixing.weights.onnx_session import InferenceSession, open_session
from demixing.weights.readers import Contents
from demixing.weights.verification import verify

__all__ = ["Checkpoint", "Contents", "contents", "fill", "find", "load", "session", "sessions"]

ONNX = "onnx"
"""Format of files that contain a network with its weights."""

ONNX_ARCHIVE = "onnx_archive"
"""Format of compressed tar archives of such files."""


def contents(checkpoint: Checkpoint, path: Path | None = None) -> Contents:
    """Verify and read one file of weights.

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
    verify(path, checkpoint)
    return readers.read(checkpoint.format, path, checkpoint.part)


def load(checkpoint: Checkpoint, path: Path | None = None) -> dict[str, Tensor]:
    """Verify and read one file of weights, and return only its state dict.

    Raises:
        CheckpointError: the file is missing, altered, or contains more than numbers.
    """
    return contents(checkpoint, path).state


def session(checkpoint: Checkpoint, path: Path | None = None) -> InferenceSession:
    """Verify one ONNX file and open it.

    Args:
        checkpoint: what the file must be.
        path: of the file, if not :meth:`Checkpoint.path`.

    Raises:
        CheckpointError: the file is missing, altered, or not an ONNX model.
    """
    path = path or checkpoint.path()
    verify(path, checkpoint)
    _expect(checkpoint, ONNX)
    return open_session(path)


def sessions(checkpoint: Checkpoint, path: Path | None = None) -> dict[str, InferenceSession]:
    """Verify one archive of ONNX files and open them all.

    Args:
        checkpoint: what the archive must be.
        path: of the file, if not :meth:`Checkpoint.path`.

    Returns:
        The networks by the names of their files, without folder and suffix.

    Raises:
        CheckpointError: the file is missing, altered, or not such an archive.
    """
    path = path or checkpoint.path()
    verify(path, checkpoint)
    _expect(checkpoint, ONNX_ARCHIVE)
    opened = {}
    try:
        with tarfile.open(path) as archive, tempfile.TemporaryDirectory() as folder:
            for member in archive:
                # Only contents are extracted; paths of the archive are never used.
                contents = archive.extractfile(member) if member.name.endswith(".onnx") else None
                if contents is not None:
                    copy = Path(folder, "network.onnx")
                    copy.write_bytes(contents.read())
                    opened[Path(member.name).stem] = open_session(copy)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise CheckpointError(f"expected an archive of ONNX models at {path}: {error}") from error
    return opened


def _expect(checkpoint: Checkpoint, expected: str) -> None:
    """Raise unless the catalogue gives a file the format that its reader expects."""
    if checkpoint.format != expected:
        raise CheckpointError(
            f"weights {checkpoint.name!r} have the format {checkpoint.format!r}, "
            f"expected {expected!r}"
        )


def fill(network: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load weights into a network, strictly, and make it ready to infer.

    Args:
        network: changed in place. One on torch's meta device, which has no weights yet, takes
            the tensors over.
        state: weights by the network's own key names. BatchNorm's step counters may be absent:
            they matter to training only.
        name: of the weights, for the message.

    Raises:
        CheckpointError: keys are missing or left over, or a shape differs.
    """
    own = network.state_dict()
    optional = {key for key in own if key.endswith("num_batches_tracked")}
    missing = sorted(own.keys() - optional - state.keys())
    unknown = sorted(state.keys() - own.keys())
    shapes = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    if missing or unknown or shapes:
        raise CheckpointError(
            f"the weights {name!r} are of another network than {type(network).__name__}: "
            f"{len(missing)} keys missing {missing[:2]}, {len(unknown)} unknown {unknown[:2]}, "
            f"{len(shapes)} of another shape {shapes[:2]}"
        )
    ours = {key: value.to(own[key].dtype) for key, value in state.items()}
    meta = any(value.is_meta for value in own.values())
    # Of the base class: Demucs' own renames keys, and knows no assignment.
    nn.Module.load_state_dict(network, ours, strict=False, assign=meta)
    network.requires_grad_(requires_grad=False).eval()
