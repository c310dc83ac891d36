"""Golden outputs of Open-Unmix, and of norbert's Wiener filter.

    git clone https://github.com/sigsep/open-unmix-pytorch CHECKOUT
    git -C CHECKOUT checkout fb672c9
    pip install --no-deps norbert==0.2.1
    python -m tools.golden.open_unmix CHECKOUT

The code of the checkout runs unchanged, with an empty module for torchaudio, which it imports to
read files, and an alias for a scipy module that norbert expects at its old path.
"""

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from tools.golden import seeded

OUTPUT = Path(__file__).parents[2] / "tests" / "golden" / "open_unmix.npz"
TARGETS = ("vocals", "drums", "bass", "other")
HIDDEN = 16
SONG = 44_100 * 9
"""Samples; two blocks of the Wiener filter."""

STRIDE = 256
"""Distance in samples between stored samples."""

CHOICES: dict[str, dict[str, Any]] = {
    "song": {"niter": 1},
    "song_masked": {"niter": 0, "softmask": True},
    "song_twice": {"niter": 2, "residual": True},
}
"""Arguments of the original separator, by the name of the golden array."""


def prepare(checkout: Path) -> Any:
    """Make the checkout importable and return its module of networks."""
    sys.modules["torchaudio"] = ModuleType("torchaudio")
    sys.path.insert(0, str(checkout))
    return importlib.import_module("openunmix.model")


def original(model: Any, hidden: int) -> Any:
    """Build an original network, in evaluation."""
    made = model.OpenUnmix(nb_bins=2049, nb_channels=2, hidden_size=hidden, max_bin=1487)
    return made.eval()


class Prefixed(nn.Module):
    """Networks of several stems in one module, so that their names differ."""

    def __init__(self, networks: dict[str, nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks)


def spectra() -> tuple[torch.Tensor, torch.Tensor]:
    """Return a mixture and magnitudes of three stems, in double precision.

    Returns:
        Complex ``(2, bins, frames)``, and ``(3, 2, bins, frames)``.
    """
    draw = np.random.default_rng(0)
    mixture = draw.standard_normal((2, 17, 20)) + 1j * draw.standard_normal((2, 17, 20))
    mixture *= 30  # loud enough to be scaled down by the filter
    mixture[0, 3] = mixture[1, 3]  # one direction only
    mixture[:, 5, 4:9] = 0
    magnitudes = np.abs(mixture) * draw.uniform(0, 1, (3, 2, 17, 20))
    return torch.from_numpy(mixture), torch.from_numpy(magnitudes)


def norbert_golden() -> dict[str, Any]:
    """Return outputs of norbert in both precisions."""
    moved: Any = ModuleType("scipy.ndimage.filters")
    moved.gaussian_filter1d = importlib.import_module("scipy.ndimage").gaussian_filter1d
    sys.modules["scipy.ndimage.filters"] = moved
    norbert: Any = importlib.import_module("norbert")
    mixture, magnitudes = (part.numpy() for part in spectra())
    golden = {}
    for name, real, whole in (
        ("double", np.float64, np.complex128),
        ("single", np.float32, np.complex64),
    ):
        v = magnitudes.T.astype(real).copy()  # frames, bins, channels, stems
        x = mixture.T.astype(whole).copy()
        answer = norbert.wiener(v, x, 1, use_softmask=False)
        golden[f"norbert_{name}"] = answer.T.astype(whole)
    return golden


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Make golden outputs of Open-Unmix.")
    parser.add_argument("checkout", type=Path)
    model = prepare(parser.parse_args().checkout.resolve())
    golden: dict[str, Any] = norbert_golden()
    with torch.no_grad():
        for hidden in (512, 1024):
            state = original(model, hidden).state_dict()
            shapes = [f"{key} {tuple(value.shape)}" for key, value in state.items()]
            golden[f"keys_{hidden}"] = np.array(sorted(shapes))
        networks = {target: original(model, HIDDEN) for target in TARGETS}
        seeded.fill(Prefixed(networks))
        spectrum = torch.stft(
            seeded.song(44_100), 4096, 1024, window=torch.hann_window(4096), return_complex=True
        )
        stem = networks["vocals"](spectrum.abs()[None])[0]
        golden["network"] = stem[:, ::16].numpy()
        for name, options in CHOICES.items():
            separator = model.Separator(networks, **options).eval()
            stems = separator(seeded.song(SONG)[None])[0]
            golden[name] = stems[..., ::STRIDE].numpy()
    OUTPUT.parent.mkdir(exist_ok=True)
    np.savez_compressed(OUTPUT, **golden)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
