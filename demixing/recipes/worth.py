"""What a choice of a recipe's members is expected to score, by what its blends scored.

The planner compares choices by it; and it says what an optional member that is missing would add.
"""

from demixing.ensemble.setting import Setting
from demixing.recipes.recipe import Recipe

UNKNOWN_DB = 1.0
"""Score of a stem that a member gives, if it was not measured: better than none."""

SLIGHT_DB = 0.01
"""What another member is worth if that was not measured."""

Choice = tuple[Setting | None, ...]
"""A setting for each member of a recipe, in their order; None for one that does not work."""


def score_db(recipe: Recipe, choice: Choice) -> float:
    """Mean over the stems, without the residual, of what a choice is expected to score, in dB."""
    stems = [stem for stem in recipe.track.stems if stem != recipe.residual]
    return sum(_stem_db(recipe, stem, choice) for stem in stems) / len(stems)


def everything(recipe: Recipe) -> Choice:
    """The choice of all members with their first settings."""
    return tuple(member.settings[0] for member in recipe.members)


def measured(recipe: Recipe) -> bool:
    """Whether the score of all members together was measured, for each stem but the residual."""
    stems = [stem for stem in recipe.track.stems if stem != recipe.residual]
    return all(recipe.blend(stem, recipe.givers(stem)).sdr_db is not None for stem in stems)


def _stem_db(recipe: Recipe, stem: str, choice: Choice) -> float:
    """What one stem is expected to score; 0 if no member gives it."""
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
    # Care with a member counts as much as the member itself does.
    parts = {name: abs(weight) for name, weight in blend.weights.items()}
    whole = sum(parts.values()) or 1.0
    return stem_db + sum(parts[name] / whole * gain for name, gain in givers.items())
