"""Golden outputs of KUIELab's submissions to the Sound Demixing Challenge 2023, whole songs.

    git clone https://github.com/kuielab/sdx23 CHECKOUT
    pip install ml-collections
    python -m tools.golden.kuielab CHECKOUT

CHECKOUT is a clone with the branches mdx_AB and cdx_A. Their predictors run unchanged: three seeds,
the cutting of songs, the mean, and the residual. Only `cuda` does nothing, and the networks are
small.
"""

import argparse
import contextlib
import importlib
import os
import subprocess
import sys
import tempfile
import types
import unittest.mock
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from tools.golden import seeded, tfc_tdf_v3

OUTPUT = Path(__file__).parents[2] / "tests" / "golden" / "kuielab.npz"
SAMPLES = 4500
STEP = 3
"""Distance in samples between stored samples."""

MODULES = {"mdx_AB": "modelA", "cdx_A": "tfc_tdf"}
"""The module of the predictor, by branch."""

STEMS = {
    "mdx_AB": ("vocals", "drums", "bass", "other"),
    "cdx_A": ("music", "dialog", "effect"),
}
"""Outputs of the networks, in order."""


def config(branch: str) -> dict[str, dict[str, Any]]:
    """Config of the small networks."""
    small = tfc_tdf_v3.config(
        STEMS[branch],
        n_fft=256,
        hop_length=32,
        dim_f=64,
        num_channels=4,
        growth=4,
        num_scales=2,
        num_blocks_per_scale=1,
    )
    instruments = list(STEMS[branch])
    return {
        **small,
        "inference": {
            "batch_size": 2,
            "dim_t": 32,
            "num_overlap": 8,
            "instruments": instruments,
            "method": "kuielab",
        },
    }


def song() -> Tensor:
    """The song, ``(2, samples)``."""
    return seeded.song(SAMPLES, seed=31)


def state(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Weights that differ by seed."""
    drawn = seeded.state({f"{seed} {key}": shape for key, shape in shapes.items()})
    return {key: drawn[f"{seed} {key}"] for key in shapes}


@contextlib.contextmanager
def submission(checkout: Path, branch: str) -> Iterator[Any]:
    """Unpack a branch, and import its predictor as the server does, in its folder."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "-C", checkout, "archive", branch], check=True, capture_output=True
        ).stdout
        subprocess.run(["tar", "x", "-C", folder], input=archive, check=True)
        package = types.ModuleType("my_submission")  # another package has the same name
        package.__path__ = [str(Path(folder, "my_submission"))]
        sys.modules[package.__name__] = package
        os.chdir(folder)
        with contextlib.ExitStack() as stack:
            for kind in (torch.Tensor, torch.nn.Module):
                stack.enter_context(unittest.mock.patch.object(kind, "cuda", lambda self: self))
            stack.enter_context(tfc_tdf_v3.runnable())
            yield importlib.import_module(f"my_submission.{MODULES[branch]}")
        os.chdir(before)
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_submission"]:
        del sys.modules[name]


def write(module: Any, branch: str) -> dict[str, tuple[int, ...]]:
    """Write the config and the seeds where the predictor looks; return the shapes of weights."""
    folder = Path(module.model_path)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config(branch)))
    attributes = importlib.import_module("ml_collections").ConfigDict(config(branch))
    network = module.TFC_TDF_net(attributes)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    for seed, name in enumerate(module.ckpts):
        torch.save(state(shapes, seed), folder / f"{name}.ckpt")
    return shapes


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Make golden outputs of KUIELab's submissions.")
    parser.add_argument("checkout", type=Path)
    checkout = parser.parse_args().checkout.resolve()
    warnings.simplefilter("ignore")
    arrays: dict[str, Any] = {}
    for branch in MODULES:
        with submission(checkout, branch) as module:
            shapes = write(module, branch)
            stems, _ = module.MusicSeparationModel().separate_music_file(song().T.numpy(), 44_100)
        arrays[f"{branch}_state"] = np.array([f"{key} {shape}" for key, shape in shapes.items()])
        for stem, audio in stems.items():
            arrays[f"{branch}_{stem}"] = audio.T[:, ::STEP].astype(np.float32)
    np.savez_compressed(OUTPUT, **arrays)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
