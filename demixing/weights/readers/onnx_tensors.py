"""The numbers of a graph of ONNX by the names that they have there; the graph is not run."""

from pathlib import Path

from demixing.weights import onnx_file
from demixing.weights.readers import Contents, tensors


def read(path: Path) -> Contents:
    """Read all tensors of floats.

    Raises:
        CheckpointError: the file is no ONNX model, is damaged, or reaches out of itself.
    """
    onnx_file.check(path)
    return Contents(state=tensors(path, onnx_file.floats(onnx_file.graph(path))))
