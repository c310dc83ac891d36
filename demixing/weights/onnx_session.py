"""Opens ONNX models on the best available device, without warnings about other devices.

onnxruntime-gpu tries every provider that it was built with and prints errors if a library is
missing. So the providers are chosen here, from the devices that torch finds.

Import onnxruntime's classes from here, to keep its telemetry off.
"""

import os
from pathlib import Path

import torch

# Read when onnxruntime is imported. Otherwise it looks up a telemetry host and writes to the user's
# cache.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from onnxruntime import InferenceSession

from demixing.errors import CheckpointError
from demixing.machine.device import chosen_device
from demixing.weights import onnx_file
from demixing.weights.weight_file import WeightFile, opened

__all__ = ["InferenceSession", "of_model", "open_session", "providers", "session"]

FOLDING_LIMIT = "optimization.constant_folding_max_output_size_in_bytes"
MOST_FOLDED_BYTES = 1 << 26
"""Constants are computed in advance only up to this size: a model may double one again and again.

Older versions of ONNX Runtime do not know the setting, and ignore it.
"""

OPEN_FILES = Path("/proc/self/fd")
"""Where Linux lists the open files of a process."""

ERRORS_ONLY = 3
"""ONNX Runtime's level for its own messages; otherwise each constant left out is a warning."""


def providers() -> list[str | tuple[str, dict[str, int]]]:
    """The providers for models: CUDA if torch has it, and the CPU for operations that it lacks."""
    device = chosen_device()
    if device.type != "cuda":
        return ["CPUExecutionProvider"]
    return [("CUDAExecutionProvider", {"device_id": device.index or 0}), "CPUExecutionProvider"]


def open_session(path: Path) -> InferenceSession:
    """Open a model whose sha256 is not known.

    Raises:
        CheckpointError: the file is missing, not a model, or needs other files or libraries.
    """
    try:
        with opened(path) as file:
            made = session(file)
            file.check_unchanged()
            return made
    except OSError as error:
        raise CheckpointError(f"expected an ONNX model at {path}, but: {error.strerror}") from error


def session(file: WeightFile) -> InferenceSession:
    """Open a model in a file whose sha256 was checked.

    Raises:
        CheckpointError: the file is not a model, or needs other files or libraries.
    """
    # ONNX Runtime needs less memory if it reads the file itself. This is the same open file.
    descriptor = OPEN_FILES / str(file.stream.fileno())
    if descriptor.exists():
        onnx_file.check(file)
        return of_model(str(descriptor), file.path)
    return of_model(onnx_file.checked(file.contents(), file.path), file.path)


def of_model(model: bytes | str, path: Path) -> InferenceSession:
    """Open a model that was checked.

    Args:
        model: contents of its file, or the path of a descriptor of it.
        path: of the file, for messages.

    Raises:
        CheckpointError: it is not a model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Spinning threads slow down all other processes on the same cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(FOLDING_LIMIT, str(MOST_FOLDED_BYTES))
    options.log_severity_level = ERRORS_ONLY
    try:
        return InferenceSession(model, options, providers=providers())
    # onnxruntime's errors have no other common base class.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"expected an ONNX model at {path}: {reason}") from error
