"""Opens ONNX models on the best device of this machine, without warnings about other devices.

onnxruntime-gpu tries every provider that it was built with, and prints errors where a library is
missing. So the providers are chosen here, by the devices that torch finds.

Import onnxruntime's classes from here, so that its telemetry is off.
"""

import os
from pathlib import Path

import torch

# Read when onnxruntime is imported: otherwise it looks up a host for telemetry and writes into the
# user's cache.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from onnxruntime import InferenceSession

from demixing.errors import CheckpointError
from demixing.machine.device import chosen_device
from demixing.weights import onnx_file

__all__ = ["InferenceSession", "open_session", "providers"]


def providers() -> list[str]:
    """Name the devices of models: CUDA if torch has it, and the CPU for what that lacks."""
    cuda = ["CUDAExecutionProvider"] if chosen_device().type == "cuda" else []
    return [*cuda, "CPUExecutionProvider"]


def open_session(path: Path) -> InferenceSession:
    """Open a model.

    Args:
        path: an ONNX file whose sha256 was checked.

    Raises:
        CheckpointError: the file is missing, is not a model, or needs other files or libraries.
    """
    onnx_file.check(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Spinning threads slow down all other processes on the same cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return InferenceSession(str(path), options, providers=providers())
    # onnxruntime's errors have no common base but this one.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"expected an ONNX model at {path}: {reason}") from error
