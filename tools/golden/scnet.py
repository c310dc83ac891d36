"""Golden outputs of SCNet, plain and masked.

    git clone https://github.com/ZFTurbo/Music-Source-Separation-Training CHECKOUT
    git -C CHECKOUT checkout ccc011a
    python -m tools.golden.scnet CHECKOUT

The code of the checkout runs unchanged. Its package imports more than is needed, so only the folder
of SCNet is made importable. The networks are small and have weights seeded by the names of their
layers.
"""

import argparse
import importlib
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tools.golden import seeded

OUTPUT = Path(__file__).parents[2] / "tests" / "golden" / "scnet.npz"

STEMS = ("drums", "bass", "vocals")

SMALL: dict[str, Any] = {
    "dims": [4, 8, 8, 12],
    "nfft": 512,
    "hop_size": 128,
    "conv_depths": [2, 1, 1],
    "num_dplayer": 4,
}
"""Options that both implementations have."""

LENGTHS = (2048, 2176, 2500)
"""Samples: one and two hops are appended, and part of one."""

STRIDE = 8
"""Distance in samples between stored samples."""

LARGE: dict[str, Any] = {"dims": [4, 64, 128, 256]}

SIZES: dict[str, dict[str, Any]] = {
    "small": {},
    "large": {**LARGE, "band_SR": [0.225, 0.372, 0.403]},
    "xl": {**LARGE, "band_SR": [0.23, 0.37, 0.4], "num_dplayer": 8},
    "xl_ihf": {
        **LARGE,
        "band_SR": [0.23, 0.37, 0.4],
        "band_stride": [1, 4, 4],
        "band_kernel": [3, 4, 4],
        "conv_depths": [3, 3, 3],
        "num_dplayer": 8,
    },
}
"""The ``model`` sections of the published sizes, without what equals the small one's."""


def prepare(checkout: Path) -> dict[bool, Any]:
    """Make the checkout importable and return the classes, by whether they are masked."""
    package = ModuleType("original_scnet")
    package.__path__ = [str(checkout / "models" / "scnet")]
    sys.modules[package.__name__] = package
    warnings.filterwarnings("ignore", "A window was not provided")
    modules = {False: "scnet", True: "scnet_masked"}
    return {
        masked: importlib.import_module(f"{package.__name__}.{name}").SCNet
        for masked, name in modules.items()
    }


def original(kind: Any, **options: Any) -> Any:
    """Build an original network with seeded weights."""
    network = kind(win_size=options.get("nfft", 4096), **options).eval()
    seeded.fill(network)
    return network


def mixtures(samples: int) -> Tensor:
    """Return two different songs, ``(2, 2, samples)``."""
    return torch.stack([seeded.song(samples), seeded.song(samples, seed=1)])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Make golden outputs of SCNet.")
    parser.add_argument("checkout", type=Path)
    kinds = prepare(parser.parse_args().checkout.resolve())
    golden: dict[str, Any] = {}
    with torch.inference_mode():
        for masked, kind in kinds.items():
            network = original(kind, sources=list(STEMS), **SMALL)
            for samples in LENGTHS:
                stems = network(mixtures(samples))
                golden[f"{'masked' if masked else 'plain'}_{samples}"] = stems[
                    ..., ::STRIDE
                ].numpy()
        for size, options in SIZES.items():
            state = kinds[False](**options).state_dict()
            shapes = [f"{key} {tuple(value.shape)}" for key, value in state.items()]
            golden[f"keys_{size}"] = np.array(sorted(shapes))
    OUTPUT.parent.mkdir(exist_ok=True)
    np.savez_compressed(OUTPUT, **golden)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
