"""Golden outputs of ByteSep.

    git clone https://github.com/bytedance/music_source_separation CHECKOUT
    git -C CHECKOUT checkout e64b858
    pip install --no-deps torchlibrosa==0.1.0
    python -m tools.golden.bytesep CHECKOUT

The code of the checkout runs unchanged, with three replacements for its imports: an empty module
for pytorch_lightning; a plain module with the formula of inplace_abn 1.1.0 in evaluation, because
the original needs CUDA; and a temporary home folder with the filters that it would download. The
widths of the large networks are fixed, so their blocks are replaced by narrower ones of the same
classes.
"""

import argparse
import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tools.golden import seeded

OUTPUT = Path(__file__).parents[2] / "tests" / "golden" / "bytesep.npz"
CHANNELS = (4, 6, 8, 8, 12, 12)
SEGMENT = 44_100
"""Samples of a segment; the authors' segments are 30 times as long."""

SONGS = (40_000, 44_100 * 2 + 9_000, 44_100 * 2 + 19_001, 44_100 * 2 + 40_000)
"""Samples of songs that end in different parts of a segment."""

STRIDE = 32
"""Distance in samples between stored samples."""

CLASSES = {
    "subband": ("resunet_subbandtime", "ResUNet143_Subbandtime"),
    "ismir2021": ("resunet_ismir2021", "ResUNet143_DecouplePlusInplaceABN_ISMIR2021"),
    "mobilenet": ("mobilenet_subbandtime", "MobileNet_Subbandtime"),
}


class InPlaceABNSync(nn.Module):
    """The formula of inplace_abn 1.1.0 in evaluation, with the absolute value of the scale."""

    def __init__(self, num_features: int, momentum: float, activation: str) -> None:
        super().__init__()
        assert activation == "leaky_relu"
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and rectify ``(b, c, t, f)``."""
        mean: Any = self.running_mean
        variance: Any = self.running_var
        x = F.batch_norm(x, mean, variance, self.weight.abs() + 1e-5, self.bias, False, 0.0, 1e-5)
        return F.leaky_relu(x, 0.01)


def prepare(checkout: Path, home: Path) -> None:
    """Make the checkout importable."""
    packages = {name: ModuleType(name) for name in ("bytesep", "bytesep.models")}
    for name, package in packages.items():  # their own __init__ import pytorch_lightning
        package.__path__ = [str(checkout / name.replace(".", "/"))]
    abn: Any = ModuleType("inplace_abn.abn")
    abn.InPlaceABNSync = InPlaceABNSync
    stubs = {"inplace_abn": ModuleType("inplace_abn"), "inplace_abn.abn": abn}
    sys.modules |= packages | stubs
    os.environ["HOME"] = str(home)
    filters = home / "bytesep_data" / "filters"
    filters.mkdir(parents=True)
    for path in (checkout / "bytesep/models/subband_tools/filters").glob("*.mat"):
        shutil.copy(path, filters)


def original(variant: str, targets: int = 1) -> Any:
    """Build an original network at full size, in evaluation."""
    module, name = CLASSES[variant]
    made = getattr(importlib.import_module(f"bytesep.models.{module}"), name)
    arguments: tuple[int, ...] = (2, targets) if variant == "ismir2021" else (2, 2, targets)
    return made(*arguments).eval()


def narrow(network: Any, variant: str) -> None:
    """Replace the blocks of a large original network by blocks of fewer channels."""
    module: Any = importlib.import_module(f"bytesep.models.{CLASSES[variant][0]}")
    common = {"kernel_size": (3, 3), "activation": "leaky_relu", "momentum": 0.01}
    widths = (2 * network.subbands_num, *CHANNELS)
    for step in range(6):
        down = (1, 2) if step == 5 else (2, 2)
        arguments = {**common, "downsample": down}
        block = module.EncoderBlockRes4B(widths[step], widths[step + 1], **arguments)
        setattr(network, f"encoder_block{step + 1}", block)
    same = {**common, "downsample": (1, 1)}
    for name in "abcd":
        block = module.EncoderBlockRes4B(widths[-1], widths[-1], **same)
        setattr(network, f"conv_block7{name}", block)
    below = widths[-1]
    for step, width in enumerate(CHANNELS[::-1]):
        up = (1, 2) if step == 0 else (2, 2)
        block = module.DecoderBlockRes4B(below, width, upsample=up, **common)
        setattr(network, f"decoder_block{step + 1}", block)
        below = width
    network.after_conv_block1 = module.EncoderBlockRes4B(below, below, **same)
    network.after_conv2 = nn.Conv2d(below, network.after_conv2.out_channels, 1)
    network.eval()


def constant(name: str) -> bool:
    """Return whether a tensor is a constant of a transform, not a weight."""
    return name.startswith(("stft.", "istft.", "pqmf."))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Make golden outputs of ByteSep.")
    parser.add_argument("checkout", type=Path)
    checkout = parser.parse_args().checkout.resolve()
    golden: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as home, torch.no_grad():
        prepare(checkout, Path(home))
        driver: Any = importlib.import_module("bytesep.separator")
        for variant in CLASSES:
            network = original(variant, targets=2)
            shapes = [f"{key} {tuple(v.shape)}" for key, v in network.state_dict().items()]
            golden[f"{variant}_keys"] = np.array(sorted(shapes))
            if variant != "mobilenet":
                narrow(network, variant)
            seeded.fill(network, keep=constant)
            song = seeded.song(SEGMENT)[None]
            golden[variant] = network({"waveform": song})["waveform"][0, :, ::STRIDE].numpy()
            if variant == "subband":
                filters = {k: v for k, v in network.state_dict().items() if k.startswith("pqmf.")}
                golden |= {key: value.numpy() for key, value in filters.items()}
        network = original("subband")
        narrow(network, "subband")
        seeded.fill(network, keep=constant)
        for samples in SONGS:
            separate = driver.Separator(network, SEGMENT, batch_size=1, device="cpu").separate
            stem = separate({"waveform": seeded.song(samples).numpy()})
            golden[f"song_{samples}"] = stem[:, ::STRIDE].astype(np.float32)
    OUTPUT.parent.mkdir(exist_ok=True)
    np.savez_compressed(OUTPUT, **golden)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
