"""The tensors of an ONNX graph, by their names there; the graph is not run."""

from pathlib import Path

from demixing.weights import onnx_file
from demixing.weights.readers import Contents, tensors


def read(path: Path) -> Contents:
    """Read all float tensors.

    Raises:
        CheckpointError: the file is not an ONNX model, is damaged, or refers to other files.
    """
    onnx_file.check(path)
    return Contents(state=tensors(path, onnx_file.floats(onnx_file.graph(path))))
