"""The tensors of an ONNX graph, by their names there; the graph is not run."""

from demixing.weights import onnx_file
from demixing.weights.readers import Contents, tensors
from demixing.weights.weight_file import WeightFile


def read(file: WeightFile) -> Contents:
    """Read all float tensors.

    Raises:
        CheckpointError: the file is not an ONNX model, is damaged, or refers to other files.
    """
    return Contents(state=tensors(file, onnx_file.floats(onnx_file.graph(file))))
