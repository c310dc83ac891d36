"""The recipe of one network, from the catalogue or from a user's own file."""

from pathlib import Path
from typing import Any

from demixing.recipes import tracks
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe
from demixing.separators.msst import plugin


def recipe(checkpoint: str, config: str = "", overlap: int | None = None) -> Recipe:
    """Return a recipe whose stems are the outputs of a network.

    If the network has only one output, its target, the rest of the mixture is another stem.

    Args:
        checkpoint: a name in the catalogue, or the path of a file.
        config: path of a YAML file; "": the config of the catalogue, or of the file.
        overlap: number of chunks for each sample; None: as in the config.

    Raises:
        ConfigError: the config is missing, or of an unknown network.
        CheckpointError: there are no such weights.
    """
    source = plugin.find(checkpoint, config)
    stems, rest = source.config.stems(), source.config.rest()
    options: dict[str, Any] = {"checkpoint": checkpoint}
    options |= {"config": config} if config else {}
    options |= {"overlap": overlap} if overlap is not None else {}
    name = Path(checkpoint).stem if plugin.is_file(checkpoint) else checkpoint
    return Recipe(
        name=name,
        track=tracks.of_stems((*stems, *([rest] if rest else []))),
        summary=f"The network {name}.",
        members=(
            Member(
                name=name,
                separator=source.system,
                outputs={stem: (stem,) for stem in stems},
                options=options,
            ),
        ),
        residual=rest or None,
    )
