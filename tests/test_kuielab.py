"""The recipes of KUIELab's submissions of 2023 give what their predictors gave.

The golden outputs are those of the original predictors, with small networks: three seeds, the
cutting of songs, the mean, and half of the residual.
"""

import ast
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from demixing.engine.demixer import Demixer
from demixing.recipes import reading
from demixing.recipes.recipe import Recipe
from tools.golden import kuielab
from tools.golden.agreement import agreement_db

pytestmark = pytest.mark.engine

RECIPES = {"mdx_kuielab_a": "mdx_AB", "mdx_kuielab_b": "mdx_AB", "cdx_kuielab_a": "cdx_A"}


def with_small_networks(recipe: Recipe, branch: str, folder: Path, golden: Any) -> Recipe:
    """The recipe with the files of small networks, and everything else as it is."""
    (folder / "mine.yaml").write_text(yaml.safe_dump(kuielab.config(branch)))
    shapes = {
        key: ast.literal_eval(shape)
        for key, shape in (str(line).split(" ", 1) for line in golden[f"{branch}_state"])
    }
    members = []
    for seed, member in enumerate(recipe.members):
        path = folder / f"{member.options['checkpoint']}.ckpt"
        torch.save(kuielab.state(shapes, seed), path)
        files = {"checkpoint": str(path), "config": str(folder / "mine.yaml")}
        members.append(dataclasses.replace(member, options={**member.options, **files}))
    return dataclasses.replace(recipe, members=tuple(members))


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_give_what_the_submissions_gave(name: str, tmp_path: Path) -> None:
    branch, recipe = RECIPES[name], reading.load(name)
    song = kuielab.song()
    with np.load(kuielab.OUTPUT) as golden:
        small = with_small_networks(recipe, branch, tmp_path, golden)
        stems = torch.cat(list(Demixer(small).stream([song], 44_100)), dim=-1)

        for stem, answer in zip(recipe.track.stems, stems, strict=True):
            expected = torch.from_numpy(golden[f"{branch}_{stem}"])
            assert agreement_db(expected, answer[:, :: kuielab.STEP]) > 110, stem


def test_seeds_are_those_of_the_recipes() -> None:
    for name in RECIPES:
        given = [member.options["checkpoint"] for member in reading.load(name).members]

        assert given == [f"{given[0][:-1]}{seed}" for seed in range(3)]
