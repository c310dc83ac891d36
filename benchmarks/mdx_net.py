"""MDX-Net: ours and KUIELab's own code, with the same random weights at full size.

Needs the package onnx, to write files of random weights, and `--original` with a clone of
https://github.com/kuielab/mdx-net-submission; see tools/golden/mdx_net.py. Both sides open their
file for each song, like the original.
"""

import functools
import importlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import peak
from benchmarks.songs import song
from benchmarks.spleeter import streamed
from benchmarks.timing import Line, checkout, compare_outputs
from demixing.errors import ConfigError
from demixing.machine import threads
from demixing.separators.mdx_net import adapt
from demixing.weights.onnx_session import open_session
from tools.golden import mdx_net as golden

FULL = {"l": 3, "g": 32, "bn": 8, "bias": False, "dim_f": 11}
NETWORKS = {"drums": {"L": 9, "dim_t": 7}, "vocals": {"L": 11, "dim_t": 8}}
"""Sizes of the small network and of one of the large ones of leaderboard B."""


def run(*, quick: bool, original: Path | None = None) -> Iterator[Line]:
    """Measure networks of leaderboard B, which have the shorter chunks.

    Raises:
        ConfigError: there is no clone of the original, or no onnx.
    """
    original = checkout(original, "a clone of mdx-net-submission")
    try:
        importlib.import_module("onnx")  # before modules are replaced; see tools/golden/mdx_net.py
    except ImportError as error:
        raise ConfigError("this benchmark needs the package onnx; run: pip install onnx") from error
    duration_s = 12.0 if quick else 30.0
    for stem in NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            audio, path = song(duration_s), write(original, stem, Path(folder))
            with golden.original(original, "b") as predict_blend:
                predictor = prepared(predict_blend, stem, path)
                yield compare_outputs(
                    f"mdx_net {stem}: demix_base over ours",
                    functools.partial(theirs, predictor),
                    functools.partial(ours, stem, path),
                    audio,
                    repeats=3,
                    peaks=peak.of_both("benchmarks.mdx_net", original, stem, path, duration_s),
                )


def write(original: Path, stem: str, folder: Path) -> Path:
    """Write a network of full size with seeded weights to a file, and return its path."""
    with golden.original(original, "b"):
        path = folder / f"{stem}.onnx"
        golden.export(network(stem), path)
    return path


def network(stem: str, *, load: bool = True) -> Any:
    """Build the original network; only the export needs its weights."""
    options = {**FULL, **NETWORKS[stem]}
    return golden.built(sys.modules["models"].Conv_TDF_net_trim, stem, load=load, **options)


def prepared(predict_blend: Any, stem: str, path: Path) -> Any:
    """Build the original predictor with one network, which it finds in its own folder."""
    Path("onnx", path.name).symlink_to(path)
    predictor = predict_blend.Predictor()
    predictor.models = [network(stem, load=False)]
    return predictor


def theirs(predictor: Any, audio: Tensor) -> Tensor:
    """Separate a song ``(2, samples)`` with their code; the result has the same shape."""
    return torch.from_numpy(predictor.demix_base(audio.double().numpy())[0])


def ours(stem: str, path: Path, audio: Tensor) -> Tensor:
    """Separate a song ``(2, samples)`` with our code; the result has the same shape."""
    return streamed(adapt(open_session(path), stem), audio)[0]


def main(side: str, original: str, stem: str, path: str, duration_s: str) -> None:
    """Separate once and print the peak resident memory in MiB."""
    threads.use()
    audio = song(float(duration_s))
    if side == "ours":
        ours(stem, Path(path), audio)
    else:
        with golden.original(Path(original), "b") as predict_blend:
            theirs(prepared(predict_blend, stem, Path(path)), audio)
    peak.report()


if __name__ == "__main__":
    main(*sys.argv[1:])
