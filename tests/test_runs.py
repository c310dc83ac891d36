from pathlib import Path

import pytest
import torch

from demixing.recipes.tracks import TRACKS
from demixing.training import chain, config, losses, setup

RUNS = sorted((Path(__file__).parents[1] / "runs").glob("*.toml"))


@pytest.mark.usefixtures("unfilled")
@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_every_run_of_the_project_can_start(path: Path) -> None:
    run = config.load(path, ["data.train=somewhere"])

    assert run.summary
    assert set(run.stems) in [set(track.stems) for track in TRACKS.values()]
    stems = 0.1 * torch.randn(2, len(run.stems), 2, 44_100)
    loss = losses.from_table(run.loss)
    assert loss(stems, stems).mean() < loss(0.9 * stems, stems).mean()
    assert chain.build(run.augmentations)
    network = setup.built(run)
    assert network.sample_rate_hz == run.sample_rate_hz
    assert all(one.requires_grad for one in network.parameters())
