"""Make the golden outputs of MRX from its authors' own code.

    pip install pyloudnorm==0.2.0
    python -m tools.golden.mrx CHECKOUT

CHECKOUT is a clone of https://github.com/merlresearch/cocktail-fork-separation at 19b3de8. Its
package torchaudio, which only reads files here, is replaced by an empty module.

The network is narrow, with weights that are seeded by their names. Writes tests/golden/mrx.npz,
with the names and shapes of all tensors at full size.
"""

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tools.golden import seeded

OUTPUT = Path(__file__).parents[2] / "tests" / "golden" / "mrx.npz"
HIDDEN = 16
SAMPLES = 60_000
STEP = 97
"""Distance in samples between stored samples."""


def prepare(checkout: Path) -> tuple[Any, Any]:
    """Make the checkout importable and return its modules ``mrx`` and ``separate``."""
    sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))
    sys.path.insert(0, str(checkout))
    return importlib.import_module("mrx"), importlib.import_module("separate")


def main(checkout: Path) -> None:
    """Write the golden file."""
    networks, driver = prepare(checkout)
    state = networks.MRX().state_dict()
    keys = np.array(sorted(f"{key} {tuple(value.shape)}" for key, value in state.items()))
    network = networks.MRX(n_hidden=HIDDEN).eval()
    seeded.fill(network)
    song = seeded.song(SAMPLES, seed=11)
    with torch.no_grad():
        stems = network(song[None])[0, ..., ::STEP].numpy()
    separated = driver.separate_soundtrack(song.clone(), network)
    np.savez_compressed(
        OUTPUT,
        keys=keys,
        network=stems,
        song=np.stack([stem[..., ::STEP].numpy() for stem in separated.values()]),
        stems=list(separated),
    )
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
