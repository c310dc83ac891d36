"""Golden outputs of whole songs, separated by the program of Music-Source-Separation-Training.

    git clone https://github.com/ZFTurbo/Music-Source-Separation-Training CHECKOUT
    git -C CHECKOUT checkout ccc011a
    pip install beartype einops rotary-embedding-torch==0.9.1 librosa ml-collections
    python -m tools.golden.msst CHECKOUT

For each system, the original network with seeded weights goes through the original ``demix``, which
cuts the song, as by ``inference.py``. The networks are those of the other modules of this package.
"""

import argparse
import ast
import functools
import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tools.golden import bandit, roformer, scnet, seeded

OUTPUT = Path(__file__).parents[2] / "tests" / "golden" / "msst.npz"

STEP = 5
"""Distance in samples between stored samples."""

RATE_HZ = 44_100

BANDS = [2, 2, 4, 8, 24, 40, 49]

ROFORMER: dict[str, Any] = {
    "dim": 12,
    "depth": 2,
    "stereo": True,
    "num_stems": 1,
    "time_transformer_depth": 1,
    "freq_transformer_depth": 1,
    "dim_head": 8,
    "heads": 2,
    "stft_n_fft": 256,
    "stft_hop_length": 60,
    "stft_win_length": 256,
    "mask_estimator_depth": 2,
}

VOCALS = {"instruments": ["vocals", "other"], "target_instrument": "vocals"}

CONFIGS: dict[str, dict[str, dict[str, Any]]] = {
    "bs_roformer": {
        "audio": {"chunk_size": 3000, "sample_rate": RATE_HZ},
        "model": {**ROFORMER, "freqs_per_bands": BANDS},
        "training": VOCALS,
        "inference": {"num_overlap": 2},
    },
    "mel_band_roformer": {
        "audio": {"chunk_size": 3000, "sample_rate": RATE_HZ},
        "model": {**ROFORMER, "num_bands": 8, "num_stems": 2, "sample_rate": RATE_HZ},
        "training": {"instruments": ["speech", "rest of it"], "target_instrument": None},
        "inference": {"num_overlap": 4},
    },
    "scnet": {
        "audio": {"chunk_size": 2500, "sample_rate": RATE_HZ},
        "model": {
            "sources": ["drums", "bass"],
            "audio_channels": 2,
            **scnet.SMALL,
            "win_size": scnet.SMALL["nfft"],
            "normalized": True,
            "band_SR": [0.175, 0.392, 0.433],
            "band_stride": [1, 4, 16],
            "band_kernel": [3, 4, 16],
            "compress": 4,
            "conv_kernel": 3,
            "expand": 1,
        },
        "training": {"instruments": ["drums", "bass"], "target_instrument": None},
        "inference": {"num_overlap": 4, "normalize": True},
    },
    "mdx23c": {
        "audio": {
            "chunk_size": 3008,
            "sample_rate": RATE_HZ,
            "n_fft": 256,
            "hop_length": 64,
            "dim_f": 128,
            "num_channels": 2,
        },
        "model": {
            "num_subbands": 4,
            "num_scales": 2,
            "scale": [2, 2],
            "num_blocks_per_scale": 1,
            "num_channels": 4,
            "growth": 4,
            "bottleneck_factor": 4,
            "norm": "InstanceNorm",
            "act": "gelu",
        },
        "training": {"instruments": ["vocals", "other"], "target_instrument": None},
        "inference": {"num_overlap": 2, "dim_t": 48},
    },
    "bandit_v2": {
        "audio": {"chunk_size": 4800, "sample_rate": RATE_HZ},
        "model": {**bandit.V2, **bandit.NARROW, "n_fft": 2048, "hop_length": 512},
        "training": {"instruments": bandit.V2["stems"], "target_instrument": None},
        "inference": {"num_overlap": 2},
    },
}
"""Configs as in the YAML files, one for each system."""


PLUGINS = {"mdx23c": "tfc_tdf_v3", "bandit_v2": "bandit"}
"""Names of our separators where they differ from those of the configs."""


def state(name: str) -> dict[str, Tensor]:
    """The weights of the original network of a config."""
    with np.load(OUTPUT) as arrays:
        lines = (str(line).split(" ", 1) for line in arrays[f"{name}_state"])
        return seeded.state({key: ast.literal_eval(shape) for key, shape in lines})


def songs() -> dict[str, Tensor]:
    """Songs by what is special about them, ``(channels, samples)``."""
    odd = seeded.song(9001, seed=21)
    odd[:, 4000:7500] = 0  # longer than the chunks of most systems
    return {"odd": odd, "short": seeded.song(1100, seed=22), "mono": seeded.song(5000, seed=23)[:1]}


def networks(checkout: Path) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
    """Functions that build the original networks for a config, with seeded weights."""
    roformer.prepare(checkout)
    scnet_class = scnet.prepare(checkout)[False]
    bandit_class, _ = bandit.prepare(checkout)
    return {
        "bs_roformer": functools.partial(transformer, "bs"),
        "mel_band_roformer": functools.partial(transformer, "mel"),
        "scnet": lambda config: scnet_class(**config["model"]),
        "mdx23c": mdx23c,
        "bandit_v2": lambda config: bandit_class(**config["model"]),
    }


def transformer(kind: str, config: Mapping[str, Any]) -> Any:
    """Build a RoFormer; its bands must be a tuple, which YAML files of the program have."""
    model = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in config["model"].items()
    }
    return roformer.original(kind, model)


def mdx23c(config: Mapping[str, Any]) -> Any:
    """Build an MDX23C."""
    module = importlib.import_module("models.mdx23c_tfc_tdf_v3")
    return module.TFC_TDF_net(attributes(config))


def attributes(config: Mapping[str, Any]) -> Any:
    """A config as the program reads it."""
    found: Any = importlib.import_module("ml_collections").ConfigDict(dict(config))
    return found


def constant(key: str) -> bool:
    """Whether a tensor of a state dict is no weight."""
    return roformer.constant(key) or bandit.constant(key)


def separated(checkout: Path, name: str, network: Any, song: Tensor) -> NDArray[Any]:
    """Separate a song as ``inference.py`` does, ``(stems, 2, samples)``."""
    sys.path.insert(0, str(checkout))
    for name_of_plots in ("matplotlib", "matplotlib.pyplot"):  # imported, not used here
        sys.modules.setdefault(name_of_plots, ModuleType(name_of_plots))
    program = importlib.import_module("utils.model_utils")
    audio = importlib.import_module("utils.audio_utils")
    config = CONFIGS[name]
    inference = {"batch_size": 1, **config["inference"]}
    choice = attributes({**config, "inference": inference})
    mixture, numbers = song.expand(2, -1).numpy(), None
    if config["inference"].get("normalize"):
        mixture, numbers = audio.normalize_audio(mixture)
    stems = program.demix(choice, network, mixture, torch.device("cpu"), name)
    if numbers:
        stems = {stem: audio.denormalize_audio(one, numbers) for stem, one in stems.items()}
    return np.stack(list(stems.values()))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Make golden outputs of whole songs.")
    parser.add_argument("checkout", type=Path)
    checkout = parser.parse_args().checkout.resolve()
    warnings.simplefilter("ignore")
    arrays: dict[str, Any] = {}
    for name, build in networks(checkout).items():
        network = build(CONFIGS[name]).eval()
        seeded.fill(network, keep=constant)
        tensors = network.state_dict().items()
        kept = {key: tuple(value.shape) for key, value in tensors if not constant(key)}
        arrays[f"{name}_state"] = np.array([f"{key} {shape}" for key, shape in kept.items()])
        for kind, song in songs().items():
            arrays[f"{name}_{kind}"] = separated(checkout, name, network, song)[..., ::STEP]
    np.savez_compressed(OUTPUT, **arrays)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
