"""Golden outputs of BS-RoFormer and Mel-Band RoFormer.

    git clone https://github.com/ZFTurbo/Music-Source-Separation-Training CHECKOUT
    git -C CHECKOUT checkout ccc011a
    pip install beartype einops rotary-embedding-torch==0.9.1 librosa
    pip install --no-deps pymss-core==0.1.14
    python -m tools.golden.roformer CHECKOUT

The checkout's code runs unchanged. Its networks with PoPE need another package, so their golden
output is from pymss-core, which has the same layers.
"""

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tools.golden import seeded

OUTPUT = Path(__file__).parents[2] / "tests" / "golden" / "roformer.npz"
SAMPLES = 1300
"""Length of the songs; not a whole number of hops."""

SMALL: dict[str, Any] = {
    "dim": 12,
    "depth": 2,
    "stereo": True,
    "time_transformer_depth": 1,
    "freq_transformer_depth": 1,
    "dim_head": 8,
    "heads": 2,
    "stft_n_fft": 256,
    "stft_hop_length": 60,
}
BANDS: dict[str, Any] = {"freqs_per_bands": (2, 2, 4, 8, 24, 40, 49)}
UNUSUAL: dict[str, Any] = {
    "time_transformer_depth": 2,
    "linear_transformer_depth": 1,
    "skip_connection": True,
    "zero_dc": False,
    "depth": 3,
    "mlp_expansion_factor": 2,
}
CHOICES: dict[str, dict[str, Any]] = {
    "bs": {**SMALL, **BANDS, "num_stems": 2},
    "bs_unusual": {**SMALL, **BANDS, **UNUSUAL, "stereo": False, "mask_estimator_depth": 3},
    "bs_pope": {**SMALL, **BANDS, "zero_dc": False, "use_pope": True},
    "mel": {**SMALL, "num_bands": 8, "mask_estimator_depth": 2},
    "mel_unusual": {
        **{**SMALL, **UNUSUAL, "num_bands": 8, "num_stems": 2},
        **{"sample_rate": 48_000, "mask_estimator_depth": 1},
    },
}
"""Arguments of the networks; names that start with "bs" are BS-RoFormers."""

FULL: dict[str, dict[str, Any]] = {
    "bs": {**SMALL, "dim": 384, "depth": 12, "dim_head": 64, "heads": 8, "stft_n_fft": 2048},
    "mel": {
        **SMALL,
        **{"dim": 384, "depth": 6, "dim_head": 64, "heads": 8, "stft_n_fft": 2048},
        "mask_estimator_depth": 2,
    },
}
"""Arguments of two published networks."""

CLASSES = {
    "bs": ("models.bs_roformer.bs_roformer", "BSRoformer"),
    "mel": ("models.bs_roformer.mel_band_roformer", "MelBandRoformer"),
    "bs_pope": ("pymss_core.modules.bs_roformer.bs_roformer", "BSRoformer"),
}


def prepare(checkout: Path) -> None:
    """Make the checkout importable."""
    sys.path.insert(0, str(checkout))
    sys.modules.pop("models", None)


def original(kind: str, options: dict[str, Any]) -> Any:
    """Build an original network, in evaluation; :func:`prepare` comes first.

    Args:
        kind: a name in :data:`CHOICES`, or its first part.
        options: of the network.
    """
    first = kind.partition("_")[0]
    module, name = CLASSES["bs_pope" if options.get("use_pope") else first]
    made = {"stft_win_length": options["stft_n_fft"], "flash_attn": False, **options}
    if first == "mel":
        made["match_input_audio_length"] = True
    return getattr(importlib.import_module(module), name)(**made).eval()


def constant(key: str) -> bool:
    """Whether a tensor of a state dict is computed, and not learned."""
    return key.endswith(("rotary_embed.freqs", "pope_embed.inv_freqs"))


def fill(network: nn.Module) -> None:
    """Fill a network in place; all blocks of the original share the offsets of PoPE."""
    seeded.fill(network, keep=constant)
    for key, value in network.state_dict().items():
        if key.endswith("pope_embed.bias"):
            axis = key.split(".")[2]
            value.copy_(20 * seeded.drawn(f"pope_embed.bias {axis}", tuple(value.shape)))


def song(kind: str) -> Tensor:
    """Return the input of a network of :data:`CHOICES`, ``(1, channels, SAMPLES)``."""
    channels = 2 if CHOICES[kind]["stereo"] else 1
    return seeded.song(SAMPLES)[None, :channels]


def described(network: Any) -> np.ndarray[Any, Any]:
    """Return names and shapes of all tensors that are no constants."""
    state = network.state_dict().items()
    return np.array(
        sorted(f"{key} {tuple(value.shape)}" for key, value in state if not constant(key))
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Make golden outputs of RoFormers.")
    parser.add_argument("checkout", type=Path)
    prepare(parser.parse_args().checkout.resolve())
    golden: dict[str, Any] = {}
    for kind, options in CHOICES.items():
        network = original(kind, options)
        fill(network)
        with torch.no_grad():
            stems = network(song(kind))
        golden[kind] = stems.reshape(options.get("num_stems", 1), -1, SAMPLES).numpy()
    for kind, options in FULL.items():
        golden[f"keys_{kind}"] = described(original(kind, options))
    OUTPUT.parent.mkdir(exist_ok=True)
    np.savez_compressed(OUTPUT, **golden)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
