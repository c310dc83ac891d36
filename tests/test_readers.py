"""Official formats are read as their authors' code writes them; malicious files are refused."""

import contextlib
import functools
import gzip
import importlib.util
import io
import json
import os
import pickle
import re
import struct
import sys
import tarfile
import types
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from demixing.errors import CheckpointError
from demixing.weights import readers, safe_unpickling, tensor_file, torch_file
from demixing.weights.readers import (
    Contents,
    demucs_v1,
    plain_safetensors,
    safetensors,
    spleeter_archive,
    state_dict,
)
from demixing.weights.safe_unpickling import Storage
from demixing.weights.weight_file import opened
from tests.onnx_graphs import small_exported
from tools.golden import tensorflow_checkpoint as tf


def example_state() -> dict[str, Tensor]:
    """A few tensors of kinds that occur: views, scalars, empty ones."""
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(4, 3, generator=generator)
    return {
        "conv.weight": weight,
        "conv.transposed": weight.t(),
        "conv.part": weight[1:3, 1:],
        "norm.num_batches_tracked": torch.tensor(7),
        "empty": torch.zeros(0, 2),
    }


def assert_equal_states(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        wanted = tensor.float() if tensor.dtype == torch.float16 else tensor
        assert found[key].dtype == wanted.dtype
        assert torch.equal(found[key], wanted), key


def network_class(full_name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> type:
    """A class that pickles under an official name, with its source, as long as the test runs."""
    module_name, _, name = full_name.rpartition(".")
    source = folder / "source.py"
    source.write_text(f"from torch import nn\nclass {name}(nn.Module):\n    pass\n")
    spec = importlib.util.spec_from_file_location(module_name, source)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "demucs", types.ModuleType("demucs"))
    monkeypatch.setitem(sys.modules, module_name, module)
    spec.loader.exec_module(module)
    made = getattr(module, name)
    assert isinstance(made, type)
    return made


# The official formats


@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_is_read(tmp_path: Path, zipped: bool) -> None:
    torch.save(example_state(), tmp_path / "a.th", _use_new_zipfile_serialization=zipped)

    found = readers.read("state_dict", tmp_path / "a.th")

    assert_equal_states(found.state, example_state())
    assert (found.network, found.arguments) == ("", {})


def test_the_state_dict_of_a_module_is_read(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv1d(2, 3, 1), nn.BatchNorm1d(3))
    torch.save(module.state_dict(), tmp_path / "a.pth")

    assert_equal_states(readers.read("state_dict", tmp_path / "a.pth").state, module.state_dict())


@pytest.mark.parametrize("key", state_dict.KEYS)
def test_the_state_dict_in_a_trainers_file_is_read(tmp_path: Path, key: str) -> None:
    torch.save({"epoch": 3, key: example_state(), "note": [None, "x"]}, tmp_path / "a.ckpt")

    assert_equal_states(readers.read("state_dict", tmp_path / "a.ckpt").state, example_state())


def test_two_state_dicts_in_one_file_are_refused(tmp_path: Path) -> None:
    torch.save({"state": example_state(), "state_dict": example_state()}, tmp_path / "a.ckpt")

    with pytest.raises(CheckpointError, match="once, got state_dict and state"):
        readers.read("state_dict", tmp_path / "a.ckpt")


@pytest.mark.parametrize("inner", [{}, {"a": 1}, {"a": {"b": torch.zeros(1)}}], ids=str)
def test_a_trainers_file_must_have_tensors_by_name(tmp_path: Path, inner: object) -> None:
    torch.save({"state_dict": inner}, tmp_path / "a.ckpt")

    with pytest.raises(CheckpointError, match="to contain tensors by name, got"):
        readers.read("state_dict", tmp_path / "a.ckpt")


@pytest.mark.parametrize("metadata", [{}, {"format": "pt", "anything": "[1]"}])
def test_plain_safetensors_are_read(tmp_path: Path, metadata: dict[str, str]) -> None:
    state = {"a.weight": torch.ones(3, 2), "b": torch.zeros(3).half()}
    tensor_file.write(tmp_path / "a.safetensors", state, metadata)

    found = readers.read("plain_safetensors", tmp_path / "a.safetensors")

    assert_equal_states(found.state, state)
    assert (found.network, found.arguments) == ("", {})


@pytest.mark.parametrize(("key", "name"), [*plain_safetensors.OTHER_FORMATS.items()])
def test_safetensors_of_another_format_are_named(tmp_path: Path, key: str, name: str) -> None:
    tensor_file.write(tmp_path / "a.safetensors", {"a": torch.ones(2)}, {key: "x"})

    with pytest.raises(CheckpointError, match=f"tensors alone, but it is {name!r}"):
        readers.read("plain_safetensors", tmp_path / "a.safetensors")


def test_a_step_and_a_model_are_read(tmp_path: Path) -> None:
    torch.save({"step": 500_000, "model": example_state()}, tmp_path / "a.pth")

    assert_equal_states(readers.read("step_and_model", tmp_path / "a.pth").state, example_state())


class Settings(dict[str, object]):
    """Training settings, an object of a class of the authors."""


def lightning_checkpoint() -> dict[str, object]:
    """What a training keeps: a network in views of shared storages, and much besides."""
    network = {f"model.{key}": value for key, value in example_state().items()}
    settings = Settings(seed=1)
    settings["again"] = [settings, {Settings}, Fraction(1, 3), np.float64(0.5), torch.float16]
    return {
        "epoch": 3,
        "state_dict": {**network, "loss_handler.weight": torch.ones(7)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(900)}}}],
        "hyper_parameters": settings,
        "callbacks": {"best": Path("a.ckpt"), "closed": functools.partial(print, end="")},
    }


def test_the_network_of_a_lightning_checkpoint_is_read(tmp_path: Path) -> None:
    torch.save(lightning_checkpoint(), tmp_path / "a.ckpt")

    found = readers.read("lightning", tmp_path / "a.ckpt")

    assert_equal_states(found.state, example_state())
    assert (found.network, found.arguments) == ("", {})


def test_only_the_storages_of_the_network_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(lightning_checkpoint(), tmp_path / "a.ckpt")
    sizes = []
    filled = torch_file._filled

    def noted(stream: IO[bytes], storage: Storage) -> Tensor:
        sizes.append(storage.count)
        return filled(stream, storage)

    monkeypatch.setattr(torch_file, "_filled", noted)

    readers.read("lightning", tmp_path / "a.ckpt")

    assert 900 not in sizes
    assert 12 in sizes


@pytest.mark.parametrize(
    "contents", [{"model.weight": torch.ones(1)}, {"state_dict": {"weight": torch.ones(1)}}, 5]
)
def test_a_checkpoint_without_a_network_is_refused(tmp_path: Path, contents: object) -> None:
    torch.save(contents, tmp_path / "a.ckpt")

    with pytest.raises(CheckpointError, match=r"with keys that begin with 'model\.', got"):
        readers.read("lightning", tmp_path / "a.ckpt")


def test_code_in_the_settings_of_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    checkpoint = lightning_checkpoint() | {"hyper_parameters": Malicious(tmp_path / "owned")}
    torch.save(checkpoint, tmp_path / "a.ckpt")

    found = readers.read("lightning", tmp_path / "a.ckpt")

    assert_equal_states(found.state, example_state())
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", readers.DEMUCS_CLASSES)
def test_a_package_of_demucs_is_read_without_demucs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with monkeypatch.context() as patch:
        klass = network_class(name, tmp_path, patch)
        half = {key: value.half() for key, value in example_state().items()}
        arguments = {"channels": 48, "segment": Fraction(39, 5), "sources": ["drums", "bass"]}
        package = {"klass": klass, "args": (), "kwargs": arguments, "state": half}
        torch.save(package | {"training_args": {"lr": 3e-4}}, tmp_path / "a.th")

    monkeypatch.setitem(sys.modules, "demucs", None)  # importing it would raise
    found = readers.read("demucs_package", tmp_path / "a.th")

    assert_equal_states(found.state, half)
    assert found.network == name
    assert found.arguments == arguments


@pytest.mark.parametrize("writing", ["legacy", "zip", "gz"])
@pytest.mark.parametrize("name", ["demucs.model.Demucs", "demucs.tasnet.ConvTasNet"])
def test_a_file_of_demucs_v1_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writing: str, name: str
) -> None:
    path = tmp_path / "a.th"
    with monkeypatch.context() as patch:
        klass = network_class(name, tmp_path, patch)
        package = (klass, (4,), {"channels": 100}, example_state())
        if writing == "gz":
            written = io.BytesIO()
            torch.save(package, written, _use_new_zipfile_serialization=False)
            path.write_bytes(gzip.compress(written.getvalue()))
        else:
            torch.save(package, path, _use_new_zipfile_serialization=writing == "zip")

    found = readers.read("demucs_v1", path)

    assert_equal_states(found.state, example_state())
    assert (found.network, found.arguments) == (name, {"sources": 4, "channels": 100})


def test_a_file_of_demucs_4_1_is_read(tmp_path: Path) -> None:
    fraction = {"_type": "fraction", "numerator": 39, "denominator": 5}
    metadata = {
        "klass": "demucs.htdemucs.HTDemucs",
        "args": "[]",
        "kwargs": json.dumps({"channels": 48, "segment": fraction}),
    }
    half = {key: value.half() for key, value in sorted(example_state().items())}
    tensor_file.write(tmp_path / "a.safetensors", half, metadata)

    found = readers.read("demucs_safetensors", tmp_path / "a.safetensors")

    assert_equal_states(found.state, half)
    assert found.network == "demucs.htdemucs.HTDemucs"
    assert found.arguments == {"channels": 48, "segment": Fraction(39, 5)}


class Scripted(nn.Module):
    """Possible contents of a TorchScript archive: nested modules, buffers, lists, a program."""

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv1d(2, 3, 1), nn.BatchNorm1d(3)])
        self.lstm = nn.LSTM(3, 4, bidirectional=True)
        self.register_buffer("window", torch.hann_window(8))
        self.sizes = [1, 2, 3]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        answer: Tensor = self.lstm(x.transpose(1, 2))[0]
        return answer * self.window[: self.sizes[0]]


@functools.cache
def scripted_archive() -> bytes:
    """The archive of such a module; compiling it is slow."""
    archive = io.BytesIO()
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(Scripted().eval()), archive)
    return archive.getvalue()


@pytest.fixture
def scripted(tmp_path: Path) -> Path:
    path = tmp_path / "a.pth"
    path.write_bytes(scripted_archive())
    return path


def test_the_tensors_of_a_torchscript_archive_are_read(scripted: Path) -> None:
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        expected = torch.jit.load(str(scripted)).state_dict()  # type: ignore[no-untyped-call]

    found = readers.read("torchscript", scripted).state

    assert_equal_states(dict(sorted(found.items())), dict(sorted(expected.items())))


@pytest.mark.parametrize("part", [0, 1])
def test_a_checkpoint_that_tensorflow_wrote_is_read(part: int) -> None:
    golden = Path(__file__).parent / "golden" / "tensorflow_checkpoint.tar.gz"

    state = readers.read("spleeter_archive", golden, part).state

    known = {name: tf.drawn(name, shape) for name, shape in tf.shapes().items()}
    assert len(state) == 74
    for key, name in {
        "down2_conv.1.weight": tf.numbered("conv2d", 1 + 7 * part) + "/kernel",
        "up6.0.weight": tf.numbered("conv2d_transpose", 5 + 6 * part) + "/kernel",
        "up7.0.weight": tf.numbered("conv2d", 6 + 7 * part) + "/kernel",
    }.items():
        np.testing.assert_array_equal(state[key].numpy(), known[name].transpose(3, 2, 0, 1))
    norm = tf.numbered("batch_normalization", 8 + 12 * part)
    for ours, theirs in spleeter_archive.NORM.items():
        np.testing.assert_array_equal(state[f"up3.3.{theirs}"].numpy(), known[f"{norm}/{ours}"])


def test_a_stem_that_is_not_in_the_archive_is_refused() -> None:
    golden = Path(__file__).parent / "golden" / "tensorflow_checkpoint.tar.gz"

    with pytest.raises(CheckpointError, match="conv2d_14"):
        readers.read("spleeter_archive", golden, 2)


def test_our_own_format_keeps_everything(tmp_path: Path) -> None:
    contents = Contents(
        state=dict(sorted(example_state().items())),
        network="demucs.htdemucs.HTDemucs",
        arguments={"segment": Fraction(39, 5), "sources": ["drums"], "rescale": 0.1},
    )

    safetensors.write(tmp_path / "a.safetensors", contents, {"licence": "MIT"})

    with opened(tmp_path / "a.safetensors") as file:
        found, provenance = safetensors.read_with_provenance(file)
    assert_equal_states(found.state, contents.state)
    assert (found.network, found.arguments) == (contents.network, contents.arguments)
    assert provenance["licence"] == "MIT"


# Malicious files


class Malicious:
    """Unpickling it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"mkdir {self.marker}",)


def poisoned_torch(marker: Path) -> bytes:
    written = io.BytesIO()
    torch.save({"weight": Malicious(marker)}, written)
    return written.getvalue()


def poisoned_legacy(marker: Path) -> bytes:
    written = io.BytesIO()
    torch.save({"weight": Malicious(marker)}, written, _use_new_zipfile_serialization=False)
    return written.getvalue()


def poisoned_sequence(marker: Path) -> bytes:
    """A legacy file whose harmless parts are poisoned too."""
    return pickle.dumps(Malicious(marker), protocol=2)


def poisoned_wrapper(marker: Path) -> bytes:
    """A trainer's file with good tensors, and poison beside them."""
    written = io.BytesIO()
    torch.save({"state_dict": {"w": torch.ones(1)}, "hyper_parameters": Malicious(marker)}, written)
    return written.getvalue()


def poisoned_tensors(marker: Path) -> bytes:
    """A trainer's file with poison among the tensors."""
    written = io.BytesIO()
    torch.save({"epoch": 1, "state_dict": {"w": Malicious(marker)}}, written)
    return written.getvalue()


def poisoned_package(marker: Path) -> bytes:
    written = io.BytesIO()
    package = {"klass": os.system, "args": (), "kwargs": {"x": Malicious(marker)}, "state": {}}
    torch.save(package, written)
    return written.getvalue()


def poisoned_arrays(marker: Path) -> bytes:
    written = io.BytesIO()
    torch.save({"a": np.zeros(3, np.float32), "b": Malicious(marker)}, written)
    return written.getvalue()


def poisoned_tar(marker: Path) -> bytes:
    """The form of before 0.1.10, which torch unpacks with tarfile."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            member = tarfile.TarInfo(name)
            text = pickle.dumps(Malicious(marker), protocol=2)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    return written.getvalue()


def poisoned_script(marker: Path) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(Malicious(marker), protocol=2))
        archive.writestr("a/code/__torch__.py", f"import os\nos.system('mkdir {marker}')\n")
        archive.writestr("a/constants.pkl", pickle.dumps(Malicious(marker), protocol=2))
        archive.writestr("a/version", "3\n")
    return written.getvalue()


def poisoned_metadata(marker: Path) -> bytes:
    header = {
        "__metadata__": {"klass": "os.system", "args": json.dumps([f"mkdir {marker}"])},
        "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(4)


POISONS: list[Callable[[Path], bytes]] = [
    poisoned_torch,
    poisoned_legacy,
    poisoned_sequence,
    poisoned_wrapper,
    poisoned_tensors,
    poisoned_package,
    poisoned_arrays,
    poisoned_tar,
    poisoned_script,
    poisoned_metadata,
    lambda marker: gzip.compress(poisoned_legacy(marker)),
    lambda marker: gzip.compress(poisoned_sequence(marker)),
]


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("format_", readers.names())
def test_no_reader_runs_code_from_a_malicious_file(
    tmp_path: Path, format_: str, poison: Callable[[Path], bytes]
) -> None:
    path, marker = tmp_path / "a.th", tmp_path / "owned"
    path.write_bytes(poison(marker))

    with pytest.raises(CheckpointError) as caught:
        readers.read(format_, path, 0 if format_ == "spleeter_archive" else None)

    assert not marker.exists()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_refusal_names_what_the_file_wanted_to_use(tmp_path: Path) -> None:
    (tmp_path / "a.th").write_bytes(poisoned_torch(tmp_path / "owned"))

    with pytest.raises(CheckpointError, match=r"not loaded: .*posix\.system"):
        readers.read("state_dict", tmp_path / "a.th")


@pytest.mark.process
def test_the_malicious_files_work_with_an_unrestricted_loader(tmp_path: Path) -> None:
    marker = tmp_path / "owned"
    (tmp_path / "a.th").write_bytes(poisoned_legacy(marker))

    torch.load(tmp_path / "a.th", weights_only=False)

    assert marker.exists()


def test_a_pickle_cannot_change_a_stand_in(tmp_path: Path) -> None:
    """BUILD sets attributes of the object behind a name, if allowed."""
    path = tmp_path / "a.th"
    header = pickle.dumps(torch_file.MAGIC_NUMBER, 2) + pickle.dumps(torch_file.VERSION, 2)
    header += pickle.dumps({"little_endian": True}, 2)
    for name in ("torch._utils _rebuild_tensor_v2", "torch FloatStorage", "demucs.model Demucs"):
        module, _, function = name.partition(" ")
        attack = f"c{module}\n{function}\n(N}}X\x04\x00\x00\x00nameX\x04\x00\x00\x00evilstb."
        path.write_bytes(header + attack.encode("latin1"))

        with pytest.raises(CheckpointError, match="contains more than numbers or is damaged"):
            readers.read("demucs_v1", path)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_any_length_and_order_are_read(tmp_path: Path, order: Literal["C", "F"]) -> None:
    draw = np.random.default_rng(1)
    arrays = {
        str(count): np.asarray(draw.standard_normal((count, 2)), dtype=np.float32, order=order)
        for count in (1, 3, 40_000)  # the last one is long text in the pickle
    }
    torch.save(arrays, tmp_path / "a.pt")

    state = readers.read("numpy_dict", tmp_path / "a.pt").state

    assert safe_unpickling.LONG_TEXT_BYTES < 8 * 40_000
    assert state.keys() == arrays.keys()
    for key, value in arrays.items():
        assert np.array_equal(state[key].numpy(), value)


def test_a_message_does_not_spell_out_long_text() -> None:
    assert len(repr(safe_unpickling.LongText(bytes(safe_unpickling.LONG_TEXT_BYTES)))) < 200


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "demucs.repo.AnyModelRepo"])
def test_a_package_of_another_class_is_refused(tmp_path: Path, name: str) -> None:
    tensor_file.write(
        tmp_path / "a.safetensors", {"a": torch.zeros(1)}, {"klass": name, "kwargs": "{}"}
    )

    with pytest.raises(CheckpointError, match=re.escape(f"got {name!r}")):
        readers.read("demucs_safetensors", tmp_path / "a.safetensors")


# Damage


def written(folder: Path, format_: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good file of a format."""
    path = folder / "good"
    state = {"weight": torch.ones(50, 20), "half": torch.ones(30).half()}
    if format_ == "numpy_dict":
        torch.save({key: value.float().numpy() for key, value in state.items()}, path)
    elif format_ == "state_dict":
        torch.save(state, path)
    elif format_ == "step_and_model":
        torch.save({"step": 1, "model": state}, path)
    elif format_ == "lightning":
        torch.save({"state_dict": {f"model.{key}": value for key, value in state.items()}}, path)
    elif format_ in ("demucs_package", "demucs_v1"):
        legacy = format_ == "demucs_v1"
        with monkeypatch.context() as patch:
            name = demucs_v1.CLASSES[0] if legacy else readers.DEMUCS_CLASSES[0]
            parts = (network_class(name, folder, patch), (), {"channels": 4}, state)
            packed = parts if legacy else dict(zip(PARTS, parts, strict=True))
            torch.save(packed, path, _use_new_zipfile_serialization=not legacy)
    elif format_ == "torchscript":
        path.write_bytes(scripted_archive())
    elif format_ == "plain_safetensors":
        tensor_file.write(path, state, {})
    elif format_ == "demucs_safetensors":
        tensor_file.write(path, state, {"klass": readers.DEMUCS_CLASSES[0]})
    elif format_ == "safetensors":
        safetensors.write(path, Contents(state=state), {})
    elif format_ in ("htdemucs_onnx", "onnx_tensors"):
        path.write_bytes(small_exported())
    else:
        golden = Path(__file__).parent / "golden" / "tensorflow_checkpoint.tar.gz"
        path.write_bytes(golden.read_bytes())
    return path


PARTS = ("klass", "args", "kwargs", "state")


@pytest.mark.parametrize("format_", readers.names())
def test_a_file_that_is_cut_anywhere_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    good = written(tmp_path, format_, monkeypatch)
    part = 0 if format_ == "spleeter_archive" else None
    assert readers.read(format_, good, part).state
    contents = good.read_bytes()
    path = tmp_path / "cut"

    for length in (0, 1, 7, 100, len(contents) // 3, len(contents) // 2, len(contents) * 4 // 5):
        path.write_bytes(contents[:length])
        with pytest.raises(CheckpointError) as caught:
            readers.read(format_, path, part)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format_", readers.names())
def test_a_file_that_was_altered_anywhere_is_read_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str, rng: np.random.Generator
) -> None:
    contents = written(tmp_path, format_, monkeypatch).read_bytes()
    part = 0 if format_ == "spleeter_archive" else None
    path = tmp_path / "altered"

    for place in rng.integers(0, min(len(contents), 3000), 40):
        altered = bytearray(contents)
        altered[place] = rng.integers(256)
        path.write_bytes(altered)
        with contextlib.suppress(CheckpointError):
            readers.read(format_, path, part)


@pytest.mark.parametrize("kind", ["state_dict", "step_and_model", "demucs_package", "torchscript"])
@pytest.mark.parametrize("format_", readers.names())
def test_a_file_of_another_format_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str, kind: str
) -> None:
    path = written(tmp_path, kind, monkeypatch)
    if format_ == kind:
        return

    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        readers.read(format_, path, 0 if format_ == "spleeter_archive" else None)


@pytest.mark.parametrize(
    "state",
    [
        {},
        [],
        {"a": 1},
        {"a": torch.zeros(1), "lr": 0.1},
        {1: torch.zeros(1)},
        {"a": [torch.ones(1)]},
    ],
    ids=str,
)
def test_only_tensors_by_name_are_a_state(tmp_path: Path, state: object) -> None:
    torch.save(state, tmp_path / "a.th")

    with pytest.raises(CheckpointError, match="to contain tensors by name, got"):
        readers.read("state_dict", tmp_path / "a.th")


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {"a": {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [1]}},
        {"a": 1},
        [],
    ],
    ids=str,
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: object) -> None:
    text = json.dumps(header).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))

    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        readers.read("safetensors", path)


def test_a_format_without_a_reader_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no reader for weights of the format 'diffq'"):
        readers.read("diffq", tmp_path)
