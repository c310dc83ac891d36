"""Golden outputs of Demucs v1 and v2.

    git clone https://github.com/facebookresearch/demucs v1 && git -C v1 checkout dcee007
    git clone https://github.com/facebookresearch/demucs v2 && git -C v2 checkout 9602180
    pip install julius==0.2.8    # in an environment of its own
    python -m tools.golden.demucs_v2 v1 v2

Both run unchanged, narrow and on short segments, without random shifts. Imports that are not needed
here (diffq, tqdm) are replaced by empty modules. Writes tests/golden/demucs_v2.npz, and
tests/golden/demucs_v2_keys.json with the key names and shapes at full size.
"""

import importlib
import json
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tools.golden import seeded

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
CHANNELS = 4
SEGMENT = 44_100
SONG = 158_760
NETWORK = 8000
"""Input samples of the network alone, before they are padded."""

STEP = 89
"""Distance in samples between stored samples, over the whole song."""

FULL = {"demucs_v1": 100, "demucs_v1_light": 64, "demucs_v2": 64, "demucs_v2_48_hq": 48}


@contextmanager
def originals(checkout: Path) -> Iterator[tuple[Any, Any]]:
    """Import the modules ``demucs.model`` and ``demucs.utils`` of a checkout."""
    names = ("demucs", "demucs.model", "demucs.utils")
    package = types.ModuleType("demucs")
    package.__path__ = [str(checkout / "demucs")]
    for name in ("diffq", "tqdm"):
        sys.modules.setdefault(name, types.ModuleType(name))
    vars(sys.modules["diffq"]).update(DiffQuantizer=None, UniformQuantizer=None)
    sys.modules["demucs"] = package
    try:
        yield importlib.import_module("demucs.model"), importlib.import_module("demucs.utils")
    finally:
        for name in names:
            sys.modules.pop(name, None)


def network_v1(model: Any, channels: int, **options: Any) -> Any:
    """Build the network of v1."""
    return model.Demucs(channels=channels, **options).eval()


def network_v2(model: Any, channels: int, **options: Any) -> Any:
    """Build the network of v2."""
    return model.Demucs(["drums", "bass", "other", "vocals"], channels=channels, **options).eval()


def separated(utils: Any, network: Any, song: Tensor) -> Tensor:
    """Separate ``(2, samples)`` like ``demucs/separate.py``, into ``(stems, 2, samples)``."""
    reference = song.mean(0)
    level = (song - reference.mean()) / reference.std()
    with torch.no_grad():
        stems: Tensor = utils.apply_model(network, level, shifts=0, split=True)
    return stems * reference.std() + reference.mean()


def made(network: Any, utils: Any, name: str) -> dict[str, Any]:
    """Return the outputs of one version: of its network, and of a whole song."""
    seeded.fill(network)
    mixture = seeded.song(network.valid_length(NETWORK))[None]
    with torch.no_grad():
        answer = network(mixture)
    stems = separated(utils, network, seeded.song(SONG))
    return {
        f"{name}_network": answer[0, ..., ::7].numpy(),
        f"{name}_song": stems[..., ::STEP].numpy(),
    }


def shapes(network: Any) -> dict[str, list[int]]:
    """Return the names and shapes of a state dict."""
    return {name: list(tensor.shape) for name, tensor in network.state_dict().items()}


def main(first: Path, second: Path) -> None:
    """Write both files."""
    arrays: dict[str, Any] = {}
    keys = {}
    with originals(first) as (model, utils):
        # v1 cuts ten seconds at the network's own rate.
        narrow = network_v1(model, CHANNELS, samplerate=SEGMENT // 10)
        arrays |= made(narrow, utils, "v1")
        with torch.device("meta"):
            for name in ("demucs_v1", "demucs_v1_light"):
                keys[name] = shapes(network_v1(model, FULL[name], rescale=0))
    with originals(second) as (model, utils):
        arrays |= made(network_v2(model, CHANNELS, segment_length=SEGMENT), utils, "v2")
        arrays |= made(
            network_v2(model, CHANNELS, segment_length=SEGMENT, normalize=True),
            utils,
            "v2_normalize",
        )
        with torch.device("meta"):
            for name in ("demucs_v2", "demucs_v2_48_hq"):
                keys[name] = shapes(network_v2(model, FULL[name], rescale=0))
    GOLDEN.mkdir(exist_ok=True)
    np.savez_compressed(GOLDEN / "demucs_v2.npz", **arrays)
    text = json.dumps(keys, separators=(",", ":"))
    (GOLDEN / "demucs_v2_keys.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
