"""A user's own checkpoint and config: separated as by the program that the config is for.

The golden outputs are from the whole program of Music-Source-Separation-Training: the original
network, the cutting of songs, and their normalisation.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from demixing import Separator
from tools.golden import msst, seeded
from tools.golden.agreement import agreement_db

pytestmark = pytest.mark.engine

GOLDEN = Path(__file__).parent / "golden" / "msst.npz"
SYSTEMS = sorted(msst.CONFIGS)
SONGS = ("odd", "short", "mono")


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[Any]]:
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def state(golden: dict[str, NDArray[Any]], system: str) -> dict[str, Tensor]:
    lines = (line.split(" ", 1) for line in golden[f"{system}_state"])
    return seeded.state(
        {
            key: tuple(
                map(int, shape[1:-1].split(",")[: shape.count(",") + 1 - shape.endswith(",)")])
            )
            for key, shape in lines
        }
    )


@pytest.fixture
def files(tmp_path: Path, golden: dict[str, NDArray[Any]]) -> Any:
    def write(system: str) -> tuple[Path, Path]:
        checkpoint, config = tmp_path / "mine.ckpt", tmp_path / "mine.yaml"
        torch.save({"state_dict": state(golden, system)}, checkpoint)
        config.write_text(yaml.safe_dump(msst.CONFIGS[system]))
        return checkpoint, config

    return write


@pytest.mark.parametrize("system", SYSTEMS)
def test_songs_are_separated_as_by_the_original_program(
    system: str, files: Any, golden: dict[str, NDArray[Any]]
) -> None:
    checkpoint, config = files(system)
    separator = Separator(checkpoint=checkpoint, config=config)

    for kind, song in msst.songs().items():
        stems = separator(song, msst.RATE_HZ)

        expected = torch.from_numpy(golden[f"{system}_{kind}"])
        if kind == "mono":
            expected = expected.mean(dim=1, keepdim=True)
        names = separator.stems[: len(expected)]
        answer = torch.stack([stems[name] for name in names])[..., :: msst.STEP]
        assert agreement_db(expected, answer) > 100, kind
