"""Opens ONNX models on the best device there is, without a word about those there are not.

onnxruntime-gpu tries every provider that it was built with and complains on stderr where a
library is missing. So the providers are chosen here, by asking torch what this machine has.
"""

from pathlib import Path

import onnxruntime
import torch

from demixing.errors import CheckpointError
from demixing.networks import execution
from demixing.weights import onnx_file


def providers() -> list[str]:
    """Choose where models run: on CUDA if torch sees a device, and what that lacks on the CPU."""
    cuda = ["CUDAExecutionProvider"] if execution.chosen_device().type == "cuda" else []
    return [*cuda, "CPUExecutionProvider"]


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Open a model.

    Args:
        path: an ONNX file whose sha256 was checked.

    Raises:
        CheckpointError: the file is missing, is not a model, or needs other files or libraries.
    """
    onnx_file.check(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that spin while they wait slow every other process on the same cores down.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers())
    # onnxruntime's errors have no common base but this one.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"expected an ONNX model at {path}: {reason}") from error
