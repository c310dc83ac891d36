"""ONNX Runtime prints nothing on a machine without a GPU."""

import subprocess
import sys
from pathlib import Path

import pytest

from demixing.errors import CheckpointError
from demixing.machine.device import on_device
from demixing.weights.onnx_session import of_model, open_session, providers

ROOT = Path(__file__).parents[1]


@pytest.mark.process
def test_a_model_runs_without_messages(tmp_path: Path, copying_model: bytes) -> None:
    path = tmp_path / "copy.onnx"
    path.write_bytes(copying_model)
    program = (
        "import numpy, sys; from pathlib import Path\n"
        "from demixing.weights.onnx_session import open_session\n"
        "session = open_session(Path(sys.argv[1]))\n"
        "print(session.run(None, {'x': numpy.array([3, 4], dtype='float32')})[0].tolist())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, path], cwd=ROOT, capture_output=True, text=True
    )

    assert (done.stdout, done.stderr) == ("[3.0, 4.0]\n", "")


@pytest.mark.parametrize("contents", [None, b"", b"version https://git-lfs.github.com/spec/v1"])
def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path, contents: bytes | None) -> None:
    path = tmp_path / "copy.onnx"
    if contents is not None:
        path.write_bytes(contents)

    with pytest.raises(CheckpointError, match="expected an ONNX model at"):
        open_session(path)


@pytest.mark.parametrize(
    ("device", "index"), [(None, 0), ("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)]
)
def test_models_run_on_the_chosen_gpu_first(
    device: str | None, index: int, copying_model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    made = []

    def session(*_: object, providers: object) -> None:
        made.append(providers)

    monkeypatch.setattr("demixing.weights.onnx_session.InferenceSession", session)

    with on_device(device):
        of_model(copying_model, Path("copy.onnx"))

    assert made == [[("CUDAExecutionProvider", {"device_id": index}), "CPUExecutionProvider"]]


def test_models_run_on_the_cpu_if_it_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)

    with on_device("cpu"):
        assert providers() == ["CPUExecutionProvider"]
