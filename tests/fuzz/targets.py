"""What is fuzzed: every reader of files that others made, with good files to begin with."""

import io
import itertools
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from demixing.audio.files import read_blocks
from demixing.errors import DemixError
from demixing.evaluation.run import MANIFEST
from demixing.evaluation.run import Run as Evaluated
from demixing.recipes import reading, tracks
from demixing.separators.msst import config as msst
from demixing.training import config as training
from demixing.weights import catalogue, checkpoints, installer, readers, tensor_file
from demixing.weights.onnx_session import open_session
from demixing.weights.readers import safetensors
from evaluator.grading import records
from tests import audio_files, hostile_files, onnx_graphs, test_readers
from tests.fuzz.cases import Target
from tests.test_checkpoints import entry_of

ROOT = Path(__file__).parents[2]
BLOCKS = 50
"""Blocks of a song that are read."""

SMALL_ATTACK_BYTES = 20_000


def targets() -> dict[str, Target]:
    """All targets, by name."""
    return {**_weights(), **_audio(), **_texts()}


def _weights() -> dict[str, Target]:
    """Readers of weights, ONNX models, and archives."""
    found = {
        f"weights_{name}": Target(_seeds_of(name), _reading(name), ".th")
        for name in readers.names()
    }
    archives = Target(_archives, _extracted)
    models = Target(_models, open_session, ".onnx")
    return {**found, "archive": archives, "onnx": models, "onnx_archive": Target(_nets, _opened)}


def _seeds_of(name: str) -> Callable[[], list[bytes]]:
    """Good files of a format, and small hostile ones."""

    def make() -> list[bytes]:
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            good = test_readers.written(Path(folder), name, patch).read_bytes()
            more = Path(folder, "more")
            if name == "safetensors":
                arguments = {"segment": Fraction(39, 5), "sources": ["a"], "deep": {"b": [1, None]}}
                state = {"w": torch.ones(3, 2).half()}
                contents = readers.Contents(state=state, network="x", arguments=arguments)
                safetensors.write(more, contents, {"name": "a"})
            elif name == "demucs_safetensors":
                fraction = '{"a": {"_type": "fraction", "numerator": 39, "denominator": 5}}'
                metadata = {"klass": readers.DEMUCS_CLASSES[2], "args": "[]", "kwargs": fraction}
                tensor_file.write(more, {"w": torch.ones(3)}, metadata)
            else:
                more.write_bytes(good)
            return [good, more.read_bytes(), *_attacks(name)]

    return make


def _attacks(name: str) -> list[bytes]:
    """Small hostile files of a format."""
    made = (one.make() for one in hostile_files.ATTACKS if name in one.formats and not one.large)
    return [data for data in made if len(data) < SMALL_ATTACK_BYTES]


def _reading(name: str) -> Callable[[Path], object]:
    part = 0 if name == "spleeter_archive" else None
    return lambda path: readers.read(name, path, part)


def _models() -> list[bytes]:
    graph = onnx_graphs.small_exported()
    return [hostile_files.concat_doubling(), graph, hostile_files.huge_constant()]


def _nets() -> list[bytes]:
    return [hostile_files.tar_of({"a/net.onnx": _models()[0]}), *_attacks("onnx_archive")]


def _opened(path: Path) -> object:
    from dataclasses import replace

    entry = replace(entry_of(path), format=checkpoints.ONNX_ARCHIVE)
    return checkpoints.sessions(entry, path)


def _archives() -> list[bytes]:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/a.th", bytes(2000))
        archive.writestr("c.txt", b"x")
    tarred = io.BytesIO()
    with tarfile.open(fileobj=tarred, mode="w:gz") as packed:
        packed.add(ROOT / "LICENSE", "b/a.th")
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as packed:
        packed.add(ROOT / "LICENSE", "b/" + "ä" * 120 + "/a.th")
    return [zipped.getvalue(), tarred.getvalue(), plain.getvalue()]


def _extracted(path: Path) -> None:
    installer._extract(path, "a.th", path.with_name("part"), 1 << 24)


def _audio() -> dict[str, Target]:
    """Audio files of all containers."""
    names = [*audio_files.SNDFILE, *audio_files.LIBAV]
    return {f"audio_{name}": Target(_song(name), _read_song, Path(name).suffix) for name in names}


def _song(name: str) -> Callable[[], list[bytes]]:
    def make() -> list[bytes]:
        return [audio_files.encoded(name, audio_files.song(np.random.default_rng(1), 0.3))]

    return make


def _read_song(path: Path) -> None:
    for _ in itertools.islice(read_blocks(path, warn=lambda _: None), BLOCKS):
        pass


def _texts() -> dict[str, Target]:
    """Recipes, runs, catalogues, configs, and what earlier runs have left."""
    files: dict[str, tuple[Path, str, Callable[[Path], object], str]] = {
        "recipe": (reading.FOLDER, "*.toml", lambda path: reading.load(str(path)), ".toml"),
        "run": (ROOT / "runs", "*.toml", _run, ".toml"),
        "catalogue": (ROOT / "models" / "weights", "*.toml", catalogue.entries, ".toml"),
        "aicrowd": (ROOT, "aicrowd.json", tracks.submitted, ".json"),
    }
    found = {
        name: Target(_contents(folder, pattern), read, suffix)
        for name, (folder, pattern, read, suffix) in files.items()
    }
    return {
        **found,
        "yaml": Target(lambda: [YAML], msst.read, ".yaml"),
        "run_json": Target(lambda: [MANIFEST_SEED], _resumed, ".json"),
        "grade": Target(lambda: RECORDS, _record, ".jsonl", (DemixError, ValueError)),
    }


def _contents(folder: Path, pattern: str) -> Callable[[], list[bytes]]:
    """Files of this repository, under names that are not taken."""
    return lambda: [
        path.read_bytes().replace(b"[cdx_unet", b"[a").replace(b"[mdx_unet", b"[b")
        for path in sorted(folder.glob(pattern))
    ]


def _run(path: Path) -> object:
    return training.load(path, ["data.train=['songs']"])


def _resumed(path: Path) -> object:
    """Read what an earlier evaluation has left."""
    folder = path.with_name("output")
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).write_bytes(path.read_bytes())
    run = Evaluated(
        folder=folder,
        track="mdx",
        recipe="mdx_default",
        recipe_sha256="0" * 64,
        data="data",
        limit="none",
    )
    known = run.known(resume=False)
    return run.omissions(known & run._manifest().omissions.keys())


def _record(path: Path) -> object:
    return records.parse(path.read_bytes())


YAML = b"""
audio: {chunk_size: 131584, num_channels: 2, sample_rate: 44100}
model:
  dim: 60
  freqs_per_bands: !!python/tuple [2, 2, 4]
  dropout: 1.0e-1
training: &a
  instruments: [vocals, other]
  target_instrument: null
inference: {<<: *a, num_overlap: 2}
"""

MANIFEST_SEED = json.dumps(
    {
        "recipe": "mdx_default",
        "recipe_sha256": "0" * 64,
        "data": "data",
        "limit": "none",
        "songs": ["a", "b"],
        "omissions": {"a": [{"member": "hpss", "part": 0.5, "reason": "late"}], "b": []},
    }
).encode()


def _records() -> list[bytes]:
    """Records of a grade."""
    song = records.SongResult(name="a", seconds=1.0, limit_s=2.0, peak_bytes=3, outcome="ok")
    return [records.as_json(song).encode()]


RECORDS = _records()
