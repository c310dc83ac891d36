"""Weights of Demucs v4 are found in an ONNX graph in which the exporter has renamed them."""

from pathlib import Path

import onnxruntime
import pytest
import torch
from demucs.htdemucs import HTDemucs

from demixing.errors import CheckpointError
from demixing.separators.demucs import package_networks
from demixing.weights import checkpoints, readers
from demixing.weights.readers import htdemucs_onnx
from tests.onnx_graphs import exported, field, node, tensor
from tools.golden import seeded
from tools.golden.agreement import agreement_db

REAL = checkpoints.find("demucs_npm_955717e8")
FILE = REAL.path()
SMALL = {**htdemucs_onnx.ARGUMENTS, "channels": 8, "bottom_channels": 16}


def test_every_parameter_is_found_under_its_own_name(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        state = HTDemucs(**SMALL).state_dict()
    drawn = {key: seeded.drawn(key, tuple(value.shape)) for key, value in state.items()}
    (tmp_path / "a.onnx").write_bytes(exported(drawn))

    found = readers.read("htdemucs_onnx", tmp_path / "a.onnx")

    assert found.network == "demucs.htdemucs.HTDemucs"
    assert found.state.keys() == drawn.keys()
    for key, value in drawn.items():
        torch.testing.assert_close(found.state[key], value, rtol=1e-6, atol=0, msg=key)
        assert found.state[key].is_contiguous()


@pytest.mark.parametrize(
    "graph",
    [
        tensor("encoder.0.conv.weight", torch.ones(2)),  # no node uses anything
        node("/a/norm_out/Mul", "Mul", ["onnx::Mul_1"]) + field(5, field(2, 7) + field(8, b"n")),
    ],
    ids=["nothing that was exported", "no floats"],
)
def test_another_graph_is_refused(tmp_path: Path, graph: bytes) -> None:
    (tmp_path / "a.onnx").write_bytes(field(1, 8) + field(7, graph))

    with pytest.raises(CheckpointError, match=str(tmp_path)):
        readers.read("htdemucs_onnx", tmp_path / "a.onnx")


@pytest.mark.skipif(not FILE.exists(), reason=f"{FILE} is not installed")
def test_the_official_weights_separate_as_their_graph_does() -> None:
    found = checkpoints.contents(REAL, FILE)
    network = package_networks.build(found, REAL.name, REAL.stems)
    mixture = 0.1 * seeded.drawn("mixture", (1, 2, 343_980))
    session = onnxruntime.InferenceSession(FILE, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    with torch.inference_mode():
        spectrogram = network._spec(mixture)
        inputs = (mixture, network._magnitude(spectrogram))
        given = session.run(None, {k: v.numpy() for k, v in zip(names, inputs, strict=True)})
        masked, waveform = map(torch.from_numpy, given)
        expected = network._ispec(network._mask(spectrogram, masked), 343_980) + waveform
        actual = network(mixture)

    assert agreement_db(expected, actual) > 70
