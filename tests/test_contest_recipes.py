"""Recipes of what others submitted to the contest are their blends, and name weights that exist."""

import pytest

from demixing.recipes import boards, reading
from demixing.weights import catalogue

NAMES = (
    *("mdx_kuielab_a", "mdx_kuielab_b", "mdx_kuielab_c", "cdx_kuielab_a"),
    *("cdx_contest_a", "cdx_contest_b"),
)
KNOWN = catalogue.entries()


def weights_of(name: str) -> dict[str, catalogue.Checkpoint]:
    """The entry of each member with a checkpoint of its own."""
    members = reading.load(name).members
    return {
        one.name: KNOWN[one.options["checkpoint"]] for one in members if "checkpoint" in one.options
    }


@pytest.mark.parametrize("name", NAMES)
def test_members_output_what_their_weights_have(name: str) -> None:
    found = weights_of(name)

    for member in reading.load(name).members:
        if member.name in found:
            needed = {stem for stems in member.outputs.values() for stem in stems}
            assert needed == {*found[member.name].stems}
            assert member.separator == found[member.name].network


@pytest.mark.parametrize("name", NAMES)
def test_the_leaderboards_admit_the_weights(name: str) -> None:
    recipe = reading.load(name)

    for entry in weights_of(name).values():
        admitted = boards.admitting(entry.stems, entry.trained_on)[recipe.track.name]
        assert {*recipe.boards} <= {*admitted}


@pytest.mark.parametrize(
    ("name", "stem"),
    [("mdx_kuielab_a", "other"), ("mdx_kuielab_b", "other"), ("cdx_kuielab_a", "effect")],
)
def test_one_stem_takes_half_of_what_the_seeds_leave(name: str, stem: str) -> None:
    recipe = reading.load(name)

    assert recipe.consistency == {stem: 0.5}
    seeds = recipe.blend(recipe.track.stems[0], [member.name for member in recipe.members])
    assert [*seeds.weights.values()] == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(
    ("stem", "share"), [("bass", 0.2), ("drums", 0.2), ("other", 0.6), ("vocals", 0.8)]
)
def test_the_blend_of_leaderboard_c_is_the_authors(stem: str, share: float) -> None:
    """Their means of means, as weights of the five members."""
    recipe = reading.load("mdx_kuielab_c")
    own = {"model1": share / 2, "model2": share / 2}
    if stem == "vocals":
        own = {"model1": share / 4, "model2": share / 4, "model3": share / 2}
    expected = own | {"fine_tuned": (1 - share) / 2, "mmi": (1 - share) / 2}

    found = recipe.blend(stem, recipe.members_for(stem))

    assert found.weights == pytest.approx(expected)
    assert found.mixture == 0
