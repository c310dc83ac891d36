"""Make the golden outputs of BandIt v2 and BandIt Plus from their authors' own layers.

    pip install beartype librosa
    python -m tools.golden.bandit CHECKOUT

CHECKOUT is a clone of https://github.com/ZFTurbo/Music-Source-Separation-Training at ccc011a, which
contains both networks. Its package torchaudio is replaced by the two transforms that the networks
use, and pytorch_lightning and other imports that are not needed here by empty modules.

The networks are narrow, with weights that are seeded by their names. Writes
tests/golden/bandit.npz, with the names and shapes of all tensors, also at full size.
"""

import functools
import importlib
import math
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tools.golden import seeded

OUTPUT = Path(__file__).parents[2] / "tests" / "golden" / "bandit.npz"
SAMPLES = 4001
STEP = 3
"""Distance in samples between stored samples."""

NARROW: dict[str, Any] = {
    "n_bands": 12,
    "n_sqm_modules": 2,
    "emb_dim": 6,
    "rnn_dim": 5,
    "mlp_dim": 7,
}
FULL: dict[str, Any] = {
    "n_bands": 64,
    "n_sqm_modules": 8,
    "emb_dim": 128,
    "rnn_dim": 256,
    "mlp_dim": 512,
}
"""Sizes. Windows are of 2048 samples in both: the code of Plus ignores its argument."""

V2: dict[str, Any] = {
    "in_channels": 1,
    "stems": ["speech", "music", "sfx"],
    "band_type": "musical",
    "rnn_type": "GRU",
    "pad_mode": "reflect",
}
PLUS: dict[str, Any] = {
    "in_channel": 1,
    "stems": ["speech", "music", "effects"],
    "band_specs": "musical",
    "rnn_type": "GRU",
    "fs": 44_100,
    "pad_mode": "constant",
}
"""Arguments from the authors' configuration files; others have their defaults."""


class Transform(nn.Module):
    """An STFT or its inverse as in torchaudio: windows of unit energy.

    Args:
        n_fft: length of the window.
        hop_length: in samples.
        pad_mode: beyond the ends.
        inverse: which of the two.
        options: all others have the values of the configuration files.
    """

    window: Tensor

    def __init__(
        self, *, n_fft: int, hop_length: int, pad_mode: str, inverse: bool, **options: Any
    ) -> None:
        super().__init__()
        assert options["normalized"]
        self.n_fft, self.hop, self.pad_mode, self.inverse = n_fft, hop_length, pad_mode, inverse
        self.register_buffer("window", torch.hann_window(n_fft))

    def forward(self, x: Tensor, length: int | None = None) -> Tensor:
        """Map ``(..., samples)`` to complex ``(..., bins, frames)``, or back."""
        scale = math.sqrt(self.window.square().sum())
        if self.inverse:
            audio = torch.istft(
                x.flatten(0, -3) * scale, self.n_fft, self.hop, window=self.window, length=length
            )
            return audio.reshape(*x.shape[:-2], -1)
        spectrum = torch.stft(
            x.flatten(0, -2), self.n_fft, self.hop, window=self.window,
            pad_mode=self.pad_mode, return_complex=True,
        )  # fmt: skip
        return spectrum.reshape(*x.shape[:-1], *spectrum.shape[1:]) / scale


def prepare(checkout: Path) -> tuple[Any, Any]:
    """Make the checkout importable and return the classes of v2 and of Plus."""
    stand_ins: dict[str, dict[str, Any]] = {
        "torchaudio": {
            "transforms": types.SimpleNamespace(
                Spectrogram=functools.partial(Transform, inverse=False),
                InverseSpectrogram=functools.partial(Transform, inverse=True),
            ),
            "functional": None,
        },
        "torchaudio.functional": {},
        "torchaudio.functional.functional": {"_create_triangular_filterbank": None},
        "pytorch_lightning": {"LightningModule": nn.Module},
        "spafe": {},
        "spafe.fbanks": {"bark_fbanks": None},
        "spafe.utils": {},
        "spafe.utils.converters": dict.fromkeys(("erb2hz", "hz2bark", "hz2erb")),
    }
    for name, contents in stand_ins.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(contents)
    for name in ("models.bandit.core", "models.bandit.core.model"):  # they import everything else
        package = types.ModuleType(name)
        package.__path__ = [str(checkout.joinpath(*name.split(".")))]
        sys.modules[name] = package
    sys.path.insert(0, str(checkout))
    v2: Any = importlib.import_module("models.bandit_v2.bandit")
    plus: Any = importlib.import_module("models.bandit.core.model.bsrnn.wrapper")
    return v2.Bandit, plus.MultiMaskMultiSourceBandSplitRNNSimple


def constant(name: str) -> bool:
    """Whether a tensor is a constant, or shares its numbers with another one."""
    return "freq_weights" in name or name.endswith("window") or is_copy(name)


def is_copy(name: str) -> bool:
    """Whether a tensor of v2 is the same as another one."""
    return name.startswith("mask_estim") and ".combined." in name


def shapes(network: nn.Module) -> Any:
    """Return names and shapes of all tensors of a network, as an array of lines."""
    state = network.state_dict()
    return np.array(sorted(f"{key} {tuple(value.shape)}" for key, value in state.items()))


def main(checkout: Path) -> None:
    """Write the golden file."""
    song = seeded.song(SAMPLES, seed=8)
    arrays: dict[str, Any] = {}
    for name, kind, options in zip(("v2", "plus"), prepare(checkout), (V2, PLUS), strict=True):
        arrays[f"{name}_full"] = shapes(kind(**options, **FULL))
        network = kind(**options, **NARROW).eval()
        arrays[f"{name}_narrow"] = shapes(network)
        seeded.fill(network, keep=constant)
        with torch.no_grad():
            arrays[name] = network(song[None])[0, ..., ::STEP].numpy()
    np.savez_compressed(OUTPUT, **arrays)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
