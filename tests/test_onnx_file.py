"""Models that would read other files or run a library's code are not opened."""

from pathlib import Path

import pytest

from demixing.errors import CheckpointError
from demixing.weights.onnx_session import open_session
from tests.onnx_graphs import field, varint


def external_tensor(file: Path, name: bytes = b"w") -> bytes:
    """Two floats that are in another file."""
    location = field(1, b"location") + field(2, str(file).encode())
    return field(1, 2) + field(2, 1) + field(8, name) + field(13, location) + field(14, 1)


def node(kind: bytes, *, domain: bytes = b"", attribute: bytes = b"") -> bytes:
    result = field(1, b"x") + field(2, b"y") + field(4, kind)
    result += field(7, domain) if domain else b""
    return result + (field(5, attribute) if attribute else b"")


def model(*graph_fields: bytes, rest: bytes = b"", first: bytes | None = None) -> bytes:
    """A model that copies a vector of two floats, with more in it."""
    tensor = field(1, field(1, 1) + field(2, field(1, field(1, 2))))
    graph = first if first is not None else field(1, node(b"Identity"))
    graph += field(2, b"copy") + b"".join(graph_fields)
    graph += field(11, field(1, b"x") + field(2, tensor))
    graph += field(12, field(1, b"y") + field(2, tensor))
    return field(1, 8) + field(7, graph) + field(8, field(2, 13)) + rest


def then_branch(graph: bytes) -> bytes:
    """A node that holds a graph."""
    return field(1, node(b"If", attribute=field(1, b"then_branch") + field(6, graph)))


SECRET = Path("/etc/hostname")

EXTERNAL = {
    "an initializer": model(field(5, external_tensor(SECRET))),
    "a sparse initializer": model(field(15, field(1, external_tensor(SECRET)))),
    "an attribute": model(
        first=field(1, node(b"Constant", attribute=field(5, external_tensor(SECRET))))
    ),
    "a list of an attribute": model(
        first=field(1, node(b"Constant", attribute=field(10, external_tensor(SECRET))))
    ),
    "a graph in the graph": model(then_branch(field(5, external_tensor(SECRET)))),
    "a function": model(
        rest=field(25, field(7, node(b"Constant", attribute=field(5, external_tensor(SECRET)))))
    ),
    "a second part of the graph": model(rest=field(7, field(5, external_tensor(SECRET)))),
    "training": model(rest=field(20, field(1, field(5, external_tensor(SECRET))))),
}


@pytest.mark.parametrize("contents", EXTERNAL.values(), ids=EXTERNAL.keys())
def test_a_model_with_numbers_in_other_files_is_not_opened(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(contents)

    with pytest.raises(CheckpointError, match="keeps numbers in other files, so it was not opened"):
        open_session(path)


@pytest.mark.parametrize(
    "contents",
    [
        model(first=field(1, node(b"Run", domain=b"evil"))),
        model(first=field(1, node(b"EPContext", domain=b"com.microsoft"))),
        model(then_branch(field(1, node(b"Run", domain=b"evil")))),
        model(rest=field(25, field(7, node(b"Run", domain=b"evil")))),
    ],
)
def test_a_model_with_operations_of_a_library_is_not_opened(
    tmp_path: Path, contents: bytes
) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(contents)

    with pytest.raises(CheckpointError, match=r"uses operations of '(evil|com\.microsoft)'"):
        open_session(path)


def test_a_field_cannot_hide_behind_a_number_that_is_too_large(tmp_path: Path) -> None:
    hidden = varint((14 << 3) + (1 << 32)) + varint(1)
    (tmp_path / "a.onnx").write_bytes(model(field(5, field(8, b"w") + hidden)))

    with pytest.raises(CheckpointError, match="expected an ONNX model at"):
        open_session(tmp_path / "a.onnx")


def test_graphs_may_not_be_nested_too_deep(tmp_path: Path) -> None:
    graph = b""
    for _ in range(100):
        graph = then_branch(graph)
    (tmp_path / "a.onnx").write_bytes(field(7, graph))

    with pytest.raises(CheckpointError, match="too deeply"):
        open_session(tmp_path / "a.onnx")


def test_an_honest_model_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(model())

    assert [x.name for x in open_session(tmp_path / "a.onnx").get_inputs()] == ["x"]


@pytest.mark.parametrize("length", [1, 5, 20, 40])
def test_a_truncated_model_is_one_sentence(tmp_path: Path, length: int) -> None:
    (tmp_path / "a.onnx").write_bytes(model()[:length])

    with pytest.raises(CheckpointError, match="expected an ONNX model at") as caught:
        open_session(tmp_path / "a.onnx")

    assert "\n" not in str(caught.value)
