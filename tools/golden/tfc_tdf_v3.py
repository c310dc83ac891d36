"""Golden outputs of TFC-TDF v3, from KUIELab's own code.

    git clone --branch mdx_AB https://github.com/kuielab/sdx23 CHECKOUT
    python -m tools.golden.tfc_tdf_v3 CHECKOUT

Only the file of the network is used; it runs unchanged. The STFT is replaced by one with real
outputs, which torch no longer has. The branches cdx_A and mdx_C contain the same file.
"""

import argparse
import contextlib
import importlib.util
import unittest.mock
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tools.golden import seeded
from tools.golden.mdx_net import real_stft

OUTPUT = Path(__file__).parents[2] / "tests" / "golden" / "tfc_tdf_v3.npz"
NETWORK = Path("my_submission", "src", "tfc_tdf_v3.py")
FOUR = ("vocals", "drums", "bass", "other")

Config = dict[str, dict[str, Any]]
"""The sections of a configuration that the network reads."""


def config(stems: tuple[str, ...], *, target: str | None = None, **changes: Any) -> Config:
    """Return a configuration: that of leaderboards A and B of MDX, with changes.

    Args:
        stems: names of the outputs.
        target: the only output, if any.
        changes: values of the sections ``audio`` and ``model``.
    """
    audio = {"n_fft": 8192, "hop_length": 1024, "dim_f": 4096}
    model = {
        "num_subbands": 4,
        "num_scales": 5,
        "scale": [2, 2],
        "num_blocks_per_scale": 2,
        "num_channels": 64,
        "growth": 64,
        "bottleneck_factor": 4,
        "norm": "InstanceNorm",
        "act": "gelu",
    }
    return {
        "audio": {key: changes.get(key, value) for key, value in audio.items()}
        | {"num_channels": 2},
        "model": {key: changes.get(key, value) for key, value in model.items()},
        "training": {"instruments": list(stems), "target_instrument": target},
    }


OFFICIAL: dict[str, Config] = {
    "mdx_ab": config(FOUR),
    "cdx_a": config(("music", "dialog", "effect"), n_fft=2048, dim_f=1024),
    "mdx_c_1": config(FOUR, hop_length=2048, num_channels=128),
    "mdx_c_2": config(FOUR, hop_length=2048, num_channels=256),
    "mdx_c_3": config(FOUR, target="vocals", hop_length=2048, n_fft=12288, num_channels=128),
    "mdx23c": config(("vocals", "other"), num_channels=128, growth=128),
}
"""Configurations of published files."""

TINY: dict[str, Any] = {
    "n_fft": 128,
    "hop_length": 32,
    "dim_f": 64,
    "num_scales": 2,
    "num_channels": 4,
    "growth": 2,
}
SMALL: dict[str, Config] = {
    "instance_norm": config(FOUR, **TINY),
    "group_norm": config(("a", "b"), **TINY | {"norm": "GroupNorm2", "act": "relu"}),
    "batch_norm": config(
        ("a", "b"),
        **TINY | {"norm": "BatchNorm", "act": "elu0.5", "num_blocks_per_scale": 1},
    ),
    "no_norm": config(("a", "b"), **TINY | {"norm": "Identity", "bottleneck_factor": 3}),
    "one_target": config(
        FOUR,
        target="drums",
        **TINY | {"dim_f": 54, "num_subbands": 2, "num_scales": 1, "scale": [2, 3]},
    ),
}
"""Configurations of the golden outputs."""

FRAMES = 16


def samples(choice: Config) -> int:
    """Return the samples of :data:`FRAMES` frames."""
    return int(choice["audio"]["hop_length"]) * (FRAMES - 1)


def original(checkout: Path, choice: Config) -> Any:
    """Build an original network, in evaluation."""
    spec = importlib.util.spec_from_file_location("original_tfc_tdf_v3", checkout / NETWORK)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sections = {name: SimpleNamespace(**section) for name, section in choice.items()}
    return module.TFC_TDF_net(SimpleNamespace(**sections)).eval()


@contextlib.contextmanager
def runnable() -> Iterator[None]:
    """Replace the STFT, so that original networks run."""
    with unittest.mock.patch("torch.stft", real_stft(torch.stft)):
        yield


def output(checkout: Path, choice: Config) -> torch.Tensor:
    """Return the output of a seeded network, ``(stems, 2, samples)``."""
    network = original(checkout, choice)
    seeded.fill(network)
    with torch.no_grad(), runnable():
        stems: torch.Tensor = network(seeded.song(samples(choice))[None])
    # With one target, the original returns no axis of stems.
    return stems.reshape(-1, 2, samples(choice))


def keys(checkout: Path, choice: Config) -> list[str]:
    """Return the keys and shapes of a network's weights."""
    with torch.device("meta"):
        state = original(checkout, choice).state_dict()
    return sorted(f"{key} {tuple(value.shape)}" for key, value in state.items())


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Make golden outputs of TFC-TDF v3.")
    parser.add_argument("checkout", type=Path)
    checkout = parser.parse_args().checkout
    golden: dict[str, Any] = {
        name: output(checkout, choice).numpy() for name, choice in SMALL.items()
    }
    for name, choice in OFFICIAL.items():
        golden[f"keys_{name}"] = np.array(keys(checkout, choice))
    np.savez_compressed(OUTPUT, **golden)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
