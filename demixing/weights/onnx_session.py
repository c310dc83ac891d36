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

__all__ = ["InferenceSession", "open_session", "providers"]


def providers() -> list[str]:
    """The providers for models: CUDA if torch has it, and the CPU for operations that it lacks."""
    cuda = ["CUDAExecutionProvider"] if chosen_device().type == "cuda" else []
    return [*cuda, "CPUExecutionProvider"]


def open_session(path: Path) -> InferenceSession:
    """Open a model.

    Args:
        path: an ONNX file whose sha256 was checked.

    Raises:
        CheckpointError: the file is missing, not a model, or needs other files or libraries.
    """
    onnx_file.check(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Spinning threads slow down all other processes on the same cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return InferenceSession(str(path), options, providers=providers())
    # onnxruntime's errors have no other common base class.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"expected an ONNX model at {path}: {reason}") from error
