"""Golden outputs of Danna-Sep.

    git clone https://github.com/yoyololicon/music-demixing-challenge-ismir-2021-entry training
    git -C training checkout 2f08f9b
    git clone https://github.com/yoyololicon/danna-sep
    pip install julius==0.2.8 norbert==0.2.1    # in an environment of its own
    python -m tools.golden.danna_sep training danna-sep

The networks, narrow, come from the first checkout, and the inference from the second. Imports that
are not needed here (torchaudio, gdown) are replaced by empty modules. Writes
tests/golden/danna_sep.npz, and tests/golden/danna_sep_keys.json with the key names and shapes at
full size.
"""

import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tools.golden import seeded
from tools.golden.demucs_v2 import GOLDEN, shapes

SONG = 120_000
STEP = 89
"""Distance in samples between stored samples, over the whole song."""

BINS_STEP, FRAMES_STEP = 53, 7
FRAMES = 90
SEGMENT = 30_000


def networks(training: Path, *, full: bool = False) -> dict[str, nn.Module]:
    """Build the original networks: narrow with seeded weights, or at full size with random ones."""
    package = types.ModuleType("model")
    package.__path__ = [str(training / "model")]
    sys.modules["model"] = package
    unet: Any = importlib.import_module("model.unet_att")
    demucs: Any = importlib.import_module("model.demucs")
    xumx: Any = importlib.import_module("model.x_umx")
    if full:
        return {
            "unet": unet.UNetAttn(max_bins=1487).eval(),
            "demucs": demucs.DemucsSplit(channels=48).eval(),
            "xumx": xumx.X_UMX(max_bins=1487).eval(),
        }
    made = {
        "unet": unet.UNetAttn(max_bins=1487, k=2).eval(),
        "demucs": demucs.DemucsSplit(channels=4).eval(),
        "xumx": xumx.X_UMX(max_bins=1487, hidden_channels=16).eval(),
    }
    for network in made.values():
        seeded.fill(network, keep=constant)
    return made


def constant(name: str) -> bool:
    """Return whether a tensor is a kernel of the resampling, not a weight."""
    return name.endswith("kernel")


def inference(package_folder: Path) -> tuple[Any, Any]:
    """Import the modules ``danna_sep.infer`` and ``danna_sep.cli``."""
    for name in ("torchaudio", "gdown"):
        sys.modules.setdefault(name, types.ModuleType(name))
    package = types.ModuleType("danna_sep")
    package.__path__ = [str(package_folder / "danna_sep")]
    sys.modules["danna_sep"] = package
    infer = importlib.import_module("danna_sep.infer")
    return infer, importlib.import_module("danna_sep.cli")


def separated(made: dict[str, Any], infer: Any, cli: Any, song: Tensor, *, fast: bool) -> Tensor:
    """Separate a song ``(2, samples)`` like ``danna_sep/cli.py``, into ``(4, 2, samples)``."""
    weights = cli.blending_weights_2 if fast else cli.blending_weights_3
    stems = torch.zeros(4, *song.shape)
    for weight, name in zip(weights, ("unet", "demucs", "xumx"), strict=False):
        stems += one(made, infer, song, name) * weight[:, None, None]
    return stems


def one(made: dict[str, Any], infer: Any, song: Tensor, name: str) -> Tensor:
    """Separate a song ``(2, samples)`` with one network, into ``(4, 2, samples)``."""
    audio = nn.functional.pad(song, (0, 1024))
    if name == "demucs":
        stems: Tensor = infer.demucs_sep(audio, made[name], rate=44_100, shifts=1)
    else:
        # The reshaping in X-UMX needs contiguous tensors, like an ONNX file.
        stems = infer.tf_sep(audio, lambda x: made[name](x.contiguous()), batching=name == "unet")
    return stems[..., : song.shape[-1]]


def magnitudes(frames: int = FRAMES) -> Tensor:
    """Return magnitudes of a song, ``(1, 2, bins, frames)``."""
    window = torch.hann_window(4096)
    spectrum = torch.stft(
        seeded.song((frames - 1) * 1024, 1), 4096, 1024, window=window, return_complex=True
    )
    return spectrum.abs()[None].contiguous()


def main(training: Path, package_folder: Path) -> None:
    """Write both files."""
    made = networks(training)
    infer, cli = inference(package_folder)
    song = seeded.song(SONG)
    arrays: dict[str, Any] = {}
    with torch.no_grad():
        for name in ("unet", "xumx"):
            arrays[f"{name}_network"] = made[name](magnitudes())[0, ..., ::BINS_STEP, ::FRAMES_STEP]
        arrays["demucs_network"] = made["demucs"](seeded.song(SEGMENT)[None])[0, ..., ::23]
        for name in ("full", "fast"):
            stems = separated(made, infer, cli, song, fast=name == "fast")
            arrays[f"{name}_song"] = stems[..., ::STEP]
    with torch.device("meta"):
        keys = {name: shapes(network) for name, network in networks(training, full=True).items()}
    GOLDEN.mkdir(exist_ok=True)
    contents = {name: array.numpy() for name, array in arrays.items()}
    np.savez_compressed(GOLDEN / "danna_sep.npz", **contents)
    text = json.dumps(keys, separators=(",", ":"))
    (GOLDEN / "danna_sep_keys.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
