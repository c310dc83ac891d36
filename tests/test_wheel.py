"""The wheel contains everything needed to separate, but no tests, samples or contest code."""

import subprocess
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel() -> set[str]:
    """Names of the files that a wheel of this checkout would have."""
    builder = WheelBuilder(str(ROOT))
    return {str(file.distribution_path) for file in builder.recurse_included_files()}


def committed(*paths: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", *paths], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(listed.stdout.split())


def test_recipes_weights_and_types_are_in_it(wheel: set[str]) -> None:
    models = {f"demixing/{name}" for name in committed("models")}

    assert len(models) >= 8
    assert wheel >= models | committed("demixing/recipes/*.toml") | {"demixing/py.typed"}


def test_the_wheel_contains_nothing_else(wheel: set[str]) -> None:
    models = {f"demixing/{name}" for name in committed("models")}

    assert wheel <= models | committed("demixing")
