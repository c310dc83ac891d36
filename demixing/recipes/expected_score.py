"""Expected score of a choice of members, from the measured scores of the recipe's blends.

The planner compares choices by it. It also gives the gain of a missing optional member.
"""

from demixing.ensemble.setting import Setting
from demixing.recipes.recipe import Recipe

UNKNOWN_DB = 1.0
"""Score of a stem with output but without a measured score: better than no output."""

SLIGHT_DB = 0.01
"""Gain of one more member, if not measured."""

Choice = tuple[Setting | None, ...]
"""One setting per member of a recipe, in order; None for a member that is not used."""


def score_db(recipe: Recipe, choice: Choice) -> float:
    """Expected score of a choice in dB: the mean over the stems, without the residual."""
    stems = [stem for stem in recipe.track.stems if stem != recipe.residual]
    return sum(_stem_db(recipe, stem, choice) for stem in stems) / len(stems)


def everything(recipe: Recipe) -> Choice:
    """The choice of all members with their first settings."""
    return tuple(member.settings[0] for member in recipe.members)


def measured(recipe: Recipe) -> bool:
    """Whether the score of all members together was measured, for each stem except the residual."""
    stems = [stem for stem in recipe.track.stems if stem != recipe.residual]
    return all(recipe.blend(stem, recipe.members_for(stem)).sdr_db is not None for stem in stems)


def _stem_db(recipe: Recipe, stem: str, choice: Choice) -> float:
    """Expected score of one stem in dB; 0 if no member outputs it."""
    givers = {
        member.name: setting.gain_db
        for member, setting in zip(recipe.members, choice, strict=True)
        if setting and stem in member.outputs
    }
    if not givers:
        return 0.0
    blend = recipe.blend(stem, givers)
    stem_db = blend.sdr_db
    if stem_db is None:
        stem_db = UNKNOWN_DB + SLIGHT_DB * len(givers)
    # A setting's gain is weighted like its member.
    parts = {name: abs(weight) for name, weight in blend.weights.items()}
    whole = sum(parts.values()) or 1.0
    return stem_db + sum(parts[name] / whole * gain for name, gain in givers.items())
